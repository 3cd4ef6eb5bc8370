//! A plugin for malbox in Rust: the ports, and the loop that serves them. `analysis` is what it does.

mod analysis;
mod task;
mod wire;

use std::{collections::HashMap, env, error::Error, process::ExitCode, time::Duration};

use iceoryx2::{port::notifier::Notifier, port::publisher::Publisher, prelude::*, waitset::WaitSetRunResult};
use task::{Request, Task};
use wire::*;

/// The release of Cargo.toml, which has to be the supervisor's.
const ICEORYX2: &str = "0.10.0";
const EXIT_MISMATCH: u8 = 78;

fn main() -> ExitCode {
    if let Ok(theirs) = env::var("MALBOX_ICEORYX2").as_deref()
        && theirs != ICEORYX2
    {
        eprintln!(
            "built on iceoryx2 {ICEORYX2}, malbox runs on {theirs}: build it again with iceoryx2 = \"={theirs}\""
        );
        return ExitCode::from(EXIT_MISMATCH);
    }
    set_log_level(LogLevel::Error);
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hello-rust: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let id = env::var("MALBOX_PLUGIN_ID").map_err(|_| "MALBOX_PLUGIN_ID is not set: malbox starts plugins")?;
    let node = NodeBuilder::new().config(&domain()?).create::<ipc::Service>()?;

    let tasks = node
        .service_builder(&format!("malbox/plugin/{id}/tasks").as_str().try_into()?)
        .request_response::<[u8], [u8]>()
        .request_user_header::<TaskRequestHeader>()
        .response_user_header::<TaskResponseHeader>()
        .max_servers(1)
        .max_clients(1)
        .max_response_buffer_size(4)
        .enable_safe_overflow_for_responses(false)
        .open_or_create()?
        .server_builder()
        .initial_max_slice_len(CHUNK)
        .allocation_strategy(AllocationStrategy::PowerOfTwo)
        .create()?;
    let events = |name: &str| -> Result<_, Box<dyn Error>> {
        let service = node.service_builder(&name.try_into()?).publish_subscribe::<[u8]>();
        let service = service.user_header::<EventHeader>().max_publishers(1).max_subscribers(65);
        Ok(service.subscriber_max_buffer_size(32).enable_safe_overflow(true).open_or_create()?)
    };
    let ours =
        events(&format!("malbox/events/plugin/{id}"))?.publisher_builder().initial_max_slice_len(512).create()?;
    let theirs = events("malbox/events/daemon")?.subscriber_builder().create()?;
    let listener = node
        .service_builder(&format!("malbox/plugin/{id}/notify").as_str().try_into()?)
        .event()
        .open_or_create()?
        .listener_builder()
        .create()?;
    let supervisor = node
        .service_builder(&"malbox/daemon/notify".try_into()?)
        .event()
        .max_notifiers(140)
        .max_listeners(2)
        .open_or_create()?
        .notifier_builder()
        .create()?;

    let waitset = WaitSetBuilder::new().create::<ipc::Service>()?;
    let _wakes = waitset.attach_notification(&listener)?;
    say(PLUGIN_STARTED, 0, &ours, &supervisor)?;
    let mut is_stopping = false;
    while !is_stopping {
        // On SIGTERM and SIGINT, which iceoryx2 takes, the wait ends; half a second is a safety net.
        let woken = |_| CallbackProgression::Continue;
        let why = waitset.wait_and_process_once_with_timeout(woken, Duration::from_millis(500))?;
        is_stopping = matches!(why, WaitSetRunResult::TerminationRequest | WaitSetRunResult::Interrupt);
        listener.try_wait(|_| ())?;
        while let Some(request) = tasks.receive()? {
            let header = *request.user_header();
            if header.request_type == EXECUTE {
                let is_done = execute(header.task_id, &request, &supervisor)?;
                say(if is_done { TASK_COMPLETED } else { TASK_FAILED }, header.task_id, &ours, &supervisor)?;
            }
        }
        while let Some(event) = theirs.receive()? {
            is_stopping |= event.user_header().event_type == DAEMON_SHUTDOWN;
        }
    }
    say(PLUGIN_STOPPED, 0, &ours, &supervisor)
}

/// Where the services are. Malbox says so in two variables; where it says nothing, iceoryx2's own configuration.
fn domain() -> Result<Config, Box<dyn Error>> {
    let (root, prefix) = (env::var("MALBOX_DOMAIN_ROOT"), env::var("MALBOX_DOMAIN_PREFIX"));
    let mut config = Config::global_config().clone();
    if let (Ok(root), Ok(prefix)) = (root, prefix)
        && !root.is_empty()
    {
        config = Config::default();
        config.global.set_root_path(&Path::new(root.as_bytes())?);
        config.global.prefix = FileName::new(prefix.as_bytes())?;
    }
    Ok(config)
}

/// Runs one task to its last response; returns whether it went well.
fn execute(id: i32, request: &Request, supervisor: &Notifier<ipc::Service>) -> Result<bool, Box<dyn Error>> {
    let task = Task { id, request, supervisor };
    let outcome = postcard::take_from_bytes::<(String, Vec<(String, String)>)>(request.payload())
        .map_err(|error| format!("the request is not one: {error}"))
        .and_then(|((path, config), _)| analysis::analyse(&path, &HashMap::from_iter(config), &task));
    task.end(&outcome)?;
    Ok(outcome.is_ok())
}

/// Publishes an event without a payload, and rings the supervisor.
fn say(
    event_type: u16,
    task_id: i32,
    events: &Publisher<ipc::Service, [u8], EventHeader>,
    supervisor: &Notifier<ipc::Service>,
) -> Result<(), Box<dyn Error>> {
    let mut sample = events.loan_slice_uninit(0)?.write_from_slice(&[]);
    *sample.user_header_mut() = EventHeader { event_type, associated_id: task_id, ..Default::default() };
    sample.send()?;
    supervisor.notify_with_custom_event_id(EventId::new(RING_EVENT))?;
    Ok(())
}
