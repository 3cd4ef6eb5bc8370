"""Which plugins come after which: an order to start them in, what a choice of them needs, and circles."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from malbox_cli.manifest.specs import Manifest, PluginSpec

__all__ = ["cycles_in", "in_order", "with_dependencies"]


def in_order(plugins: Iterable[PluginSpec]) -> tuple[PluginSpec, ...]:
    """Return the plugins so that each stands after all those among them that it comes after.

    What stands right already stays where it is; a plugin moves no further to the front than the first that needs it.

    Raises:
        ValueError: Some of them come after each other in a circle, which no manifest without problems says.
    """
    specs = {spec.id: spec for spec in plugins}
    ordered = []
    for found in _walk({plugin_id: spec.after for plugin_id, spec in specs.items()}):
        if isinstance(found, tuple):
            raise ValueError(f"a circle has no order: {' after '.join((*found, found[0]))}")
        ordered.append(specs[found])
    return tuple(ordered)


def with_dependencies(manifest: Manifest, names: Iterable[str]) -> tuple[PluginSpec, ...]:
    """Return the plugins of these names and all that they come after, near or far, in the manifest's order.

    A name is an id, or that of a table, which means all its instances. One that the manifest does not have is passed
    over.
    """
    specs = {spec.id: spec for spec in manifest.plugins}
    wanted = set(names)
    needed: set[str] = set()
    todo = [spec.id for spec in manifest.plugins if spec.id in wanted or spec.pool in wanted]
    while todo:
        plugin_id = todo.pop()
        if plugin_id not in needed:
            needed.add(plugin_id)
            todo.extend(other for other in specs[plugin_id].after if other in specs)
    return tuple(spec for spec in manifest.plugins if spec.id in needed)


def cycles_in(after: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, ...]]:
    """Yield circles, ``("a", "b")`` for a that comes after b that comes after a, until no other way leads back.

    Without the last step of each there is no circle left. Each begins with the one of its plugins that stands first.

    Args:
        after: What each plugin comes after, in the order of the file; names that have no entry lead nowhere.
    """
    place = {plugin_id: index for index, plugin_id in enumerate(after)}
    for found in _walk(after):
        if isinstance(found, tuple):
            first = min(range(len(found)), key=lambda index: place[found[index]])
            yield (*found[first:], *found[:first])


def _walk(after: Mapping[str, Sequence[str]]) -> Iterator[str | tuple[str, ...]]:
    """Yield each name once all that it comes after were yielded, and in between each circle as a tuple.

    Not by recursion: a manifest may have a chain that is longer than Python's stack.
    """
    done: set[str] = set()
    for start in after:
        if start in done:
            continue
        path = {start: iter(after[start])}
        while path:
            here = next(reversed(path))
            for other in path[here]:
                if other in path:
                    names = list(path)
                    yield tuple(names[names.index(other) :])
                elif other in after and other not in done:
                    path[other] = iter(after[other])
                    break
            else:
                del path[here]
                done.add(here)
                yield here
