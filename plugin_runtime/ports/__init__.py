"""The ports: how frames get from one process to the other, and how a reader is woken.

`base` is the interface, `memory` keeps everything in this process, `iceoryx` is shared memory between processes. One
contract suite holds for both implementations.
"""
