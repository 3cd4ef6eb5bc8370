//! A task's way back to the supervisor.

use iceoryx2::{active_request::ActiveRequest, port::notifier::Notifier, prelude::*};

use crate::wire::*;

pub type Request = ActiveRequest<ipc::Service, [u8], TaskRequestHeader, [u8], TaskResponseHeader>;

pub struct Task<'a> {
    pub id: i32,
    pub request: &'a Request,
    pub supervisor: &'a Notifier<ipc::Service>,
}

impl Task<'_> {
    pub fn json(&self, name: &str, text: &str) -> Result<(), String> {
        self.respond(RESULT, JSON, 0, name, text.as_bytes())
    }

    pub fn bytes(&self, name: &str, data: &[u8]) -> Result<(), String> {
        self.respond(RESULT, BYTES, 0, name, data)
    }

    /// The message goes into JSON as it is: it has no quotes.
    pub fn progress(&self, part: f64, message: &str) -> Result<(), String> {
        let text = format!(r#"{{"progress":{part},"message":"{message}"}}"#);
        self.respond(PROGRESS, JSON, 0, "", text.as_bytes())
    }

    /// Ends the task, well or with the error's message.
    pub fn end(&self, outcome: &Result<(), String>) -> Result<(), String> {
        match outcome {
            Ok(()) => self.respond(RESULT, BYTES, IS_FINAL, "", b""),
            Err(message) => self.respond(ERROR, BYTES, IS_FINAL, "", message.as_bytes()),
        }
    }

    /// Sends name and data, in pieces where they are large. Waits while the supervisor has four that it has not read.
    fn respond(&self, kind: u8, format: u8, flags: u8, name: &str, data: &[u8]) -> Result<(), String> {
        let name_len = u8::try_from(name.len()).map_err(|_| format!("the name {name:?} has more than 255 bytes"))?;
        let whole = [name.as_bytes(), data].concat();
        let pieces = whole.len().div_ceil(CHUNK).max(1);
        for index in 0..pieces {
            let piece = &whole[index * CHUNK..whole.len().min((index + 1) * CHUNK)];
            let response = self.request.loan_slice_uninit(piece.len()).map_err(words)?;
            let mut response = response.write_from_slice(piece);
            *response.user_header_mut() = TaskResponseHeader {
                task_id: self.id,
                kind,
                format,
                flags: if index + 1 < pieces { HAS_MORE_CHUNKS } else { flags },
                name_len: if index == 0 { name_len } else { 0 },
                chunk_index: index as u32,
                total_size: if index == 0 { whole.len() as u64 } else { 0 },
            };
            response.send().map_err(words)?;
            self.supervisor.notify_with_custom_event_id(EventId::new(RING_RESPONSE)).map_err(words)?;
        }
        Ok(())
    }
}

fn words(error: impl std::fmt::Debug) -> String {
    format!("iceoryx2: {error:?}")
}
