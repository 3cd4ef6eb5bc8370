"""What a plugin says of itself when it has started: the payload of PluginStarted, JSON of at most 512 bytes."""

from functools import partial

from plugin_runtime.errors import ProtocolError
from plugin_runtime.wire.messages import Buffer, Hello
from plugin_runtime.wire.text import compact_json, cut_end, encodable, parse_json_object

__all__ = ["MAX_HELLO_BYTES", "decode_hello", "encode_hello"]

MAX_HELLO_BYTES = 512


def encode_hello(hello: Hello) -> bytes:
    """Return the payload, of at most 512 bytes.

    Where it would be longer, what is for people gives way first: the plugin's name, its version, the runtime and the
    release of iceoryx2 are shortened, one after the other and each as far as is needed. Then extensions are left out
    from the end of their sorted list, which the supervisor takes for a plugin without them, and at last the instance.

    Raises:
        ValueError: The protocol's number alone is too long.
    """
    texts = {
        "plugin": encodable(hello.plugin),
        "version": encodable(hello.version),
        "runtime": encodable(hello.runtime),
        "iceoryx2": encodable(hello.iceoryx2),
    }
    instance = encodable(hello.instance)
    extensions = sorted(map(encodable, hello.extensions))

    def encode() -> bytes:
        return compact_json(
            Hello(hello.protocol, instance=instance, extensions=frozenset(extensions), **texts).as_json_object()
        )

    def size_with(key: str, text: str) -> int:
        texts[key] = text
        return len(encode())

    for key, text in texts.items():
        texts[key] = cut_end(text, MAX_HELLO_BYTES, partial(size_with, key))
    while extensions and len(encode()) > MAX_HELLO_BYTES:
        extensions.pop()
    if len(encode()) > MAX_HELLO_BYTES:
        instance = ""
    data = encode()
    if len(data) > MAX_HELLO_BYTES:
        raise ValueError("The version of the protocol has too many digits; it is a small number.")
    return data


def decode_hello(payload: Buffer) -> Hello | None:
    """Return what the plugin says of itself, or None if it says nothing, as plugins of the reference do.

    Keys that are not known are ignored; a string or the list that is missing is empty.

    Raises:
        ProtocolError: The payload is too long, not a JSON object, lacks the protocol or has a value of a wrong type.
    """
    if not len(payload):
        return None
    if len(payload) > MAX_HELLO_BYTES:
        raise ProtocolError(f"PluginStarted carries {len(payload)} bytes, and at most {MAX_HELLO_BYTES} are allowed.")
    values = parse_json_object(payload, "a payload of PluginStarted")
    protocol = values.get("protocol")
    if not isinstance(protocol, int) or isinstance(protocol, bool):
        raise ProtocolError("In the payload of PluginStarted `protocol` has to be an integer.")
    extensions = values.get("extensions", [])
    if not isinstance(extensions, list):
        raise ProtocolError("In the payload of PluginStarted `extensions` has to be a list of strings.")
    return Hello(
        protocol,
        runtime=_string(values.get("runtime", ""), "runtime"),
        iceoryx2=_string(values.get("iceoryx2", ""), "iceoryx2"),
        plugin=_string(values.get("plugin", ""), "plugin"),
        version=_string(values.get("version", ""), "version"),
        instance=_string(values.get("instance", ""), "instance"),
        extensions=frozenset(_string(name, "extensions") for name in extensions),
    )


def _string(value: object, key: str) -> str:
    if not isinstance(value, str):
        raise ProtocolError(f"In the payload of PluginStarted `{key}` holds something that is not a string.")
    return encodable(value)
