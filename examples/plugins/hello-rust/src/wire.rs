//! The protocol's headers and numbers.

use iceoryx2::prelude::*;

pub const CHUNK: usize = 1 << 20; // a larger payload is cut
pub const RESULT: u8 = 0;
pub const PROGRESS: u8 = 1;
pub const ERROR: u8 = 4;
pub const BYTES: u8 = 0;
pub const JSON: u8 = 1;
pub const IS_FINAL: u8 = 1;
pub const HAS_MORE_CHUNKS: u8 = 2;
pub const EXECUTE: u8 = 0; // the type of a request
pub const TASK_COMPLETED: u16 = 2;
pub const TASK_FAILED: u16 = 3;
pub const PLUGIN_STARTED: u16 = 10;
pub const PLUGIN_STOPPED: u16 = 11;
pub const DAEMON_SHUTDOWN: u16 = 30;
pub const RING_RESPONSE: usize = 0; // on malbox/daemon/notify
pub const RING_EVENT: usize = 1;

#[repr(C)]
#[derive(Debug, Default, Clone, Copy, ZeroCopySend)]
#[type_name("malbox_plugin_transport::ipc::headers::TaskRequestHeader")]
pub struct TaskRequestHeader {
    pub task_id: i32,
    pub request_type: u8,
    pub reserved: [u8; 3],
}

#[repr(C)]
#[derive(Debug, Default, Clone, Copy, ZeroCopySend)]
#[type_name("malbox_plugin_transport::ipc::headers::TaskResponseHeader")]
pub struct TaskResponseHeader {
    pub task_id: i32,
    pub kind: u8,
    pub format: u8,
    pub flags: u8,
    pub name_len: u8,
    pub chunk_index: u32,
    pub total_size: u64,
}

#[repr(C)]
#[derive(Debug, Default, Clone, Copy, ZeroCopySend)]
#[type_name("malbox_plugin_transport::ipc::headers::EventHeader")]
pub struct EventHeader {
    pub event_type: u16,
    pub source_plugin_id: i32,
    pub associated_id: i32,
    pub reserved: [u8; 6],
}
