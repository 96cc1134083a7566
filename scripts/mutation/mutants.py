"""The faults that are put into a C++ source, one at a time, found in its syntax tree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tree_sitter_cpp
from tree_sitter import Language, Node, Parser

# What each operator becomes. Comparisons move by one value and turn around.
OPERATORS: dict[str, tuple[str, ...]] = {
    "<": ("<=", ">="),
    "<=": ("<", ">"),
    ">": (">=", "<="),
    ">=": (">", "<"),
    "==": ("!=",),
    "!=": ("==",),
    "+": ("-",),
    "-": ("+",),
    "*": ("/",),
    "/": ("*",),
    "%": ("*",),
    "&&": ("||",),
    "||": ("&&",),
    "&": ("|",),
    "|": ("&",),
    "^": ("&",),
    "<<": (">>",),
    ">>": ("<<",),
    "+=": ("-=", "="),
    "-=": ("+=", "="),
    "*=": ("/=", "="),
    "/=": ("*=", "="),
    "|=": ("&=", "="),
    "&=": ("|=", "="),
    "^=": ("&=", "="),
    "++": ("--",),
    "--": ("++",),
}
FUNCTIONS = {
    "std::min": "std::max",
    "std::max": "std::min",
    "std::floor": "std::ceil",
    "std::ceil": "std::floor",
    "std::sin": "std::cos",
    "std::cos": "std::sin",
}
# Statements that can be left out: the program around them still compiles.
REMOVABLE = ("expression_statement", "break_statement", "continue_statement")
CONDITIONAL = ("if_statement", "while_statement", "do_statement", "for_statement", "conditional_expression")
NUMBERS = ("double", "float", "int", "std::size_t", "std::int64_t", "std::uint64_t", "std::uint32_t")
# Checked by the compiler, or read by it only.
IGNORED = ("static_assert_declaration", "preproc_include", "preproc_def", "attribute_declaration")


@dataclass(frozen=True)
class Mutant:
    """One fault: bytes `start` to `end` of the source become `after`."""

    number: int  # in its file, from 1
    id: str  # "kernel-017"
    kind: str
    start: int
    end: int
    line: int  # from 1
    function: str
    before: str
    after: str
    line_before: str  # the whole line or lines, as in a difference
    line_after: str
    anchor: Anchor

    def applied_to(self, source: bytes) -> bytes:
        """Return the source with this fault in it."""
        return source[: self.start] + self.after.encode() + source[self.end :]


@dataclass(frozen=True)
class Anchor:
    """The expression or statement that a fault changes: what a switch can be put around."""

    start: int
    end: int
    is_statement: bool
    is_truth: bool  # only whether it is true counts
    is_constant: bool  # the compiler evaluates it, so that no switch can


@dataclass(frozen=True)
class _Change:
    kind: str
    start: int
    end: int
    after: str
    anchor: Node
    is_truth: bool = False


def mutants_of(source: bytes, stem: str) -> list[Mutant]:
    """Return every mutant of a C++ source, numbered in the order of the file as `stem`-001, `stem`-002."""
    root = Parser(Language(tree_sitter_cpp.language())).parse(source).root_node
    if root.has_error:
        raise ValueError(
            f"{stem}: the syntax tree has an error; tree-sitter-cpp does not know a construct in it"
        )
    found: list[Mutant] = []
    seen: set[tuple[int, int, str]] = set()
    enumerators = _enumerators(root)
    for node, function in _walk(root, ""):
        for change in [*_changes(node), *_enumerator(node, enumerators)]:
            key = (change.start, change.end, change.after)
            if _text(source, change.start, change.end) == change.after or key in seen:
                continue
            seen.add(key)
            found.append(_mutant(source, stem, len(found) + 1, function, change))
    return found


def source_mutants(path: Path) -> list[Mutant]:
    """Return every mutant of the file."""
    return mutants_of(path.read_bytes(), path.stem)


def _mutant(source: bytes, stem: str, number: int, function: str, change: _Change) -> Mutant:
    first = source.rfind(b"\n", 0, change.start) + 1
    last = source.find(b"\n", change.end)
    last = len(source) if last < 0 else last
    mutated = source[first : change.start] + change.after.encode() + source[change.end : last]
    return Mutant(
        number=number,
        id=f"{stem}-{number:03d}",
        kind=change.kind,
        start=change.start,
        end=change.end,
        line=source.count(b"\n", 0, change.start) + 1,
        function=function,
        before=_text(source, change.start, change.end),
        after=change.after,
        line_before=_one_line(source[first:last].decode()),
        line_after=_one_line(mutated.decode()),
        anchor=_anchor(change),
    )


def _anchor(change: _Change) -> Anchor:
    node = change.anchor
    is_statement = node.type.endswith("_statement")
    return Anchor(node.start_byte, node.end_byte, is_statement, change.is_truth, _is_constant(node))


def _is_constant(node: Node) -> bool:
    child, parent = node, node.parent
    while parent is not None:
        if parent.type in ("template_argument_list", "array_declarator", "enumerator", "bitfield_clause"):
            return True
        if parent.type == "case_statement" and parent.child_by_field_name("value") == child:
            return True
        if any(_node_text(part) in ("constexpr", "consteval", "constinit") for part in parent.children):
            return True
        child, parent = parent, parent.parent
    return False


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _text(source: bytes, start: int, end: int) -> str:
    return source[start:end].decode()


def _node_text(node: Node | None) -> str:
    return "" if node is None or node.text is None else node.text.decode()


def _walk(node: Node, function: str) -> Iterator[tuple[Node, str]]:
    """Yield every node in the order of the file, with the function that it is in."""
    if node.type in IGNORED:
        return
    if node.type == "function_definition":
        function = _function_name(node)
    yield node, function
    for child in node.children:
        yield from _walk(child, function)


def _function_name(definition: Node) -> str:
    declarator = definition.child_by_field_name("declarator")
    while declarator is not None and declarator.type != "function_declarator":
        declarator = declarator.child_by_field_name("declarator") or next(
            iter(declarator.named_children), None
        )
    return "" if declarator is None else _node_text(declarator.child_by_field_name("declarator"))


def _changes(node: Node) -> Iterator[_Change]:
    yield from _operator(node)
    yield from _operand(node)
    yield from _constant(node)
    yield from _condition(node)
    yield from _call(node)
    yield from _statement(node)


def _operator(node: Node) -> Iterator[_Change]:
    if node.type in ("binary_expression", "assignment_expression", "update_expression"):
        operator = node.child_by_field_name("operator")
        if operator is not None:
            for other in OPERATORS.get(operator.type, ()):
                yield _Change("operator", operator.start_byte, operator.end_byte, other, node)
    elif node.type == "unary_expression":
        operator = node.child_by_field_name("operator")
        if operator is not None and operator.type in ("!", "-", "~"):
            yield _Change("operator", operator.start_byte, operator.end_byte, "", node)


def _operand(node: Node) -> Iterator[_Change]:
    """Leave out one side of && or ||."""
    operator = node.child_by_field_name("operator") if node.type == "binary_expression" else None
    if operator is None or operator.type not in ("&&", "||"):
        return
    neutral = "true" if operator.type == "&&" else "false"
    for side in ("left", "right"):
        operand = node.child_by_field_name(side)
        if operand is not None:
            yield _Change("operand", operand.start_byte, operand.end_byte, neutral, operand, is_truth=True)


def _constant(node: Node) -> Iterator[_Change]:
    if node.type == "number_literal":
        text = _node_text(node)
        for step in ("+ 1", "- 1"):
            yield _Change("constant", node.start_byte, node.end_byte, f"({text} {step})", node)
    elif node.type in ("true", "false"):
        other = "false" if node.type == "true" else "true"
        yield _Change("constant", node.start_byte, node.end_byte, other, node)


def _enumerators(root: Node) -> dict[str, list[str]]:
    """Return the enumerators that the source names, `Scope::kName`, by scope."""
    found: dict[str, set[str]] = {}
    for node, _function in _walk(root, ""):
        if (scope := _enumeration(node)) is not None:
            found.setdefault(scope, set()).add(_node_text(node))
    return {scope: sorted(names) for scope, names in found.items()}


def _enumeration(node: Node) -> str | None:
    """Return the scope of a qualified name that looks like an enumerator's."""
    if node.type != "qualified_identifier" or (node.parent is not None and node.parent.type == node.type):
        return None
    scope, _separator, name = _node_text(node).rpartition("::")
    return scope if len(name) > 1 and name[0] == "k" and name[1].isupper() else None


def _enumerator(node: Node, enumerators: dict[str, list[str]]) -> Iterator[_Change]:
    """Take the next enumerator of the same type for this one."""
    scope = _enumeration(node)
    if scope is None or (node.parent is not None and node.parent.type == "case_statement"):
        return
    names = enumerators[scope]
    other = names[(names.index(_node_text(node)) + 1) % len(names)]
    yield _Change("enumerator", node.start_byte, node.end_byte, other, node)


def _condition(node: Node) -> Iterator[_Change]:
    condition = node.child_by_field_name("condition") if node.type in CONDITIONAL else None
    if condition is not None and condition.type == "condition_clause":
        condition = condition.child_by_field_name("value")
    elif condition is not None and condition.type == "parenthesized_expression":
        condition = next(iter(condition.named_children), None)
    if condition is None or condition.type == "declaration":
        return
    for after in (f"!({_node_text(condition)})", "true", "false"):
        yield _Change("condition", condition.start_byte, condition.end_byte, after, condition, is_truth=True)


def _call(node: Node) -> Iterator[_Change]:
    called = node.child_by_field_name("function") if node.type == "call_expression" else None
    other = FUNCTIONS.get(_node_text(called))
    if called is not None and other is not None:
        yield _Change("function", called.start_byte, called.end_byte, other, node)


def _statement(node: Node) -> Iterator[_Change]:
    if node.type in REMOVABLE:
        yield _Change("statement", node.start_byte, node.end_byte, ";", node)
    elif node.type == "return_statement":
        yield from _return(node)


def _return(node: Node) -> Iterator[_Change]:
    value = next(iter(node.named_children), None)
    if value is None:
        yield _Change("statement", node.start_byte, node.end_byte, ";", node)
        return
    returned = _returned_type(node)
    if returned == "bool":
        yield _Change("return", value.start_byte, value.end_byte, f"!({_node_text(value)})", value)
    elif returned in NUMBERS and value.type != "number_literal":
        yield _Change("return", value.start_byte, value.end_byte, "0", value)


def _returned_type(node: Node) -> str:
    parent = node.parent
    while parent is not None and parent.type not in ("function_definition", "lambda_expression"):
        parent = parent.parent
    if parent is None or parent.type == "lambda_expression":
        return ""
    return _node_text(parent.child_by_field_name("type"))
