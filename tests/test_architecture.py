"""The shape of the package: no circle among its modules, and no import of a higher package, however an import is written."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
# From the top down. A module belongs to the first package that its name begins with.
LAYERS = (
    ("storage.cli", "storage.testing"),
    ("storage.integrations",),
    ("storage._aio",),
    ("storage._storage",),
    ("storage._sync",),
    ("storage._facade",),
    ("storage.server",),
    ("storage.backends",),
)


def modules():
    """Every module's name and file."""
    found = {}
    for path in sorted((ROOT / "storage").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


@cache
def imports():
    """What each module imports, with whether it does so at run time: late imports and those for type checking count too."""
    known = modules()

    def visit(node, run_time, found):
        for child in ast.iter_child_nodes(node):
            inside = run_time and not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test))
            if isinstance(child, ast.Import):
                names = [alias.name for alias in child.names]
            elif isinstance(child, ast.ImportFrom) and child.module:
                inner = [f"{child.module}.{alias.name}" for alias in child.names]
                names = [name if name in known else child.module for name in inner]
            else:
                visit(child, inside, found)
                continue
            found.update({name: found.get(name, False) or inside for name in names if name in known})
        return found

    return {
        name: {
            target: kind
            for target, kind in visit(ast.parse(path.read_text("utf-8")), True, {}).items()
            if target != name
        }
        for name, path in known.items()
    }


def circles(edges):
    """Groups of modules that import one another."""
    reach = {}

    def reachable(name):
        if name not in reach:
            seen, todo = set(), list(edges.get(name, ()))
            while todo:
                current = todo.pop()
                if current not in seen:
                    seen.add(current)
                    todo.extend(edges.get(current, ()))
            reach[name] = seen
        return reach[name]

    return {frozenset(other for other in reachable(name) if name in reachable(other)) for name in edges} - {frozenset()}


def layer(name):
    """The number of a module's layer, from the top; ``None``: it belongs to the foundation."""
    for number, packages in enumerate(LAYERS):
        if any(name == package or name.startswith(f"{package}.") for package in packages):
            return number
    return None


def test_the_finder_finds_circles():
    """Else the tests below would prove nothing."""
    assert circles({"a": ["b"], "b": ["c"], "c": ["a", "d"], "d": []}) == {frozenset("abc")}
    assert imports()["storage._facade.signing"]["storage.server._inprocess"] is True  # a late one
    assert imports()["storage.exceptions"]["storage._sync_types"] is False  # one for type checking


def test_no_circle():
    """No module imports itself by way of others, also not late or for type checking."""
    assert circles(imports()) == set()


def test_no_arrow_upward():
    """No package imports from one above it; what belongs to none of these lies below them all."""
    public = {"storage"}  # the package itself, which is at the top
    wrong = []
    for name, targets in imports().items():
        mine = layer(name)
        for target in targets:
            theirs = layer(target)
            if name in public or target in public:
                continue
            if theirs is not None and (mine is None or theirs < mine):
                wrong.append(f"{name} -> {target}")
    assert wrong == []


def test_at_most_twelve_layers():
    """The longest way down through packages that are imported at run time, each package counted once."""
    edges = {}

    def package(name):
        parts = name.split(".")
        return ".".join(parts[:3] if parts[1:2] == ["backends"] else parts[:2])

    for name, targets in imports().items():
        edges.setdefault(package(name), set()).update(
            package(target) for target, run_time in targets.items() if run_time and package(target) != package(name)
        )

    @cache
    def depth(name):
        return 1 + max((depth(target) for target in edges.get(name, ()) if target != "storage"), default=0)

    deepest = max((name for name in edges if name != "storage"), key=depth)
    assert depth(deepest) <= 12, deepest
