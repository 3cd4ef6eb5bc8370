//! What this plugin is for; it knows nothing of how it is asked.

use std::{collections::HashMap, fs, thread, time::Duration};

use crate::task::Task;

/// Analyses one sample. An error is the task's, and is shown to whoever sent it.
pub fn analyse(path: &str, config: &HashMap<String, String>, task: &Task) -> Result<(), String> {
    let sample = fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    let least: usize = number(config, "min_string", 4)?;
    task.progress(0.3, "counting")?;
    let count = |wanted: fn(&u8) -> bool| sample.iter().filter(|byte| wanted(byte)).count();
    let (zero, printable, high) = (count(|b| *b == 0), count(is_printable), count(|b| *b > 127));
    task.json("bytes", &format!(r#"{{"size":{},"zero":{zero},"printable":{printable},"high":{high}}}"#, sample.len()))?;
    thread::sleep(Duration::from_millis(number(config, "pause_ms", 0)? as u64)); // to try out what waits for a plugin
    task.progress(0.6, "looking for text")?;
    let finds = sample.split(|byte| !is_printable(byte)).filter(|find| find.len() >= least);
    task.bytes("text", &finds.collect::<Vec<_>>().join(&b'\n'))
}

fn is_printable(byte: &u8) -> bool {
    matches!(byte, b' '..=b'~')
}

fn number(config: &HashMap<String, String>, key: &str, default: usize) -> Result<usize, String> {
    let Some(text) = config.get(key) else { return Ok(default) };
    text.parse().map_err(|_| format!("{key} is {text:?}, which is not a number"))
}
