"""Put the meter into the syntax tree of a template, and compile the tree without constant folding.

Jinja evaluates constant expressions when it compiles, where nothing counts them: ``"x" | center(10 ** 9)``.
"""

# ruff: noqa: N802, N815 - Jinja's visitor finds its methods by the names of nodes

from typing import Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.idtracking import VAR_LOAD_RESOLVE
from jinja2.visitor import NodeTransformer

EACH, SPEND, MADE, BUILT, USED, JOINED = "-each", "-spend", "-made", "-built", "-used", "-joined"
"""Names of filters that a template cannot write."""

_LITERALS = (nodes.List, nodes.Tuple, nodes.Dict)
_ATOMS = (nodes.Const, nodes.TemplateData, nodes.Compare, nodes.Not, nodes.Test)
_ELSEWHERE = (nodes.For, nodes.Macro, nodes.CallBlock, nodes.Block)
"""Their bodies are counted when they run."""


def cost(body: list[Any]) -> int:
    """Count the nodes that run when ``body`` runs."""
    total = 0
    for node in body:
        total += 1 + (len(node.data) >> 6 if isinstance(node, nodes.TemplateData) else 0)
        total += 2 if isinstance(node, _ELSEWHERE) else cost(list(node.iter_child_nodes()))
    return total


def _filter(node: Any, name: str, *args: int) -> nodes.Filter:
    made = nodes.Filter(node, name, [nodes.Const(it) for it in args], [], None, None)
    made.set_lineno(node.lineno)
    return made


def _spend(lineno: int, steps: int) -> nodes.ExprStmt:
    made = nodes.ExprStmt(_filter(nodes.Const(steps, lineno=lineno), SPEND))
    made.set_lineno(lineno)
    return made


class _Metered(NodeTransformer):
    def visit_For(self, node: nodes.For) -> nodes.For:
        turn = cost([*node.body, node.test] if node.test else node.body)
        self.generic_visit(node)
        if node.recursive:
            node.body.insert(0, _spend(node.lineno, turn))
        node.iter = _filter(node.iter, EACH, turn)
        return node

    def _with_body(self, node: Any) -> Any:
        steps = cost(node.body)
        self.generic_visit(node)
        node.body.insert(0, _spend(node.lineno, steps))
        return node

    visit_Template = visit_Macro = visit_CallBlock = visit_Block = _with_body

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:
        self.generic_visit(node)
        return _filter(nodes.Tuple(node.nodes, "load", lineno=node.lineno), JOINED)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Expr:
        self.generic_visit(node)
        return _filter(node, MADE) if isinstance(node.arg, nodes.Slice) else node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:
        self.generic_visit(node)
        for it in node.ops:
            belongs = it.op in {"in", "notin"}
            if belongs and not isinstance(node.expr, _ATOMS):
                node.expr = _filter(node.expr, USED)
            if not isinstance(it.expr, (*_ATOMS, *_LITERALS)) and (belongs or not isinstance(node.expr, _ATOMS)):
                it.expr = _filter(it.expr, USED)
        return node

    def _literal(self, node: Any) -> Any:
        if getattr(node, "ctx", "load") != "load":
            return node
        leaves = self._leaves(node)
        return _filter(node, BUILT, leaves) if leaves else node

    visit_List = visit_Tuple = visit_Dict = _literal

    def _leaves(self, node: Any) -> int:
        """Count the expressions in a literal, and visit them."""
        if isinstance(node, nodes.Dict):
            for pair in node.items:
                if not isinstance(pair.key, nodes.Const):
                    pair.key = _filter(self.visit(pair.key), USED)
            return sum(self._leaf(pair, "value") for pair in node.items)
        total = 0
        for place, item in enumerate(node.items):
            if isinstance(item, _LITERALS):
                total += self._leaves(item)
            elif not isinstance(item, nodes.Const):
                node.items[place] = self.visit(item)
                total += 1
        return total

    def _leaf(self, pair: nodes.Pair, name: str) -> int:
        item = getattr(pair, name)
        if isinstance(item, _LITERALS):
            return self._leaves(item)
        if isinstance(item, nodes.Const):
            return 0
        setattr(pair, name, self.visit(item))
        return 1


def metered(tree: nodes.Template) -> nodes.Template:
    """Put the meter into ``tree``, which is changed."""
    made: nodes.Template = _Metered().visit(tree)
    if tree.environment is not None:
        made.set_environment(tree.environment)
    return made


def words(tree: nodes.Template) -> frozenset[str]:
    """Return the names and short texts of a template. Error messages may repeat them: they are no customer data."""
    found: set[str] = set()
    for node in tree.find_all(nodes.Node):
        found.update(value for _, value in node.iter_fields() if isinstance(value, str))
    return frozenset(word for word in found if len(word) <= _LONGEST_WORD)


_LONGEST_WORD = 64


class Generator(CodeGenerator):
    """Generates code that writes all output through ``shown`` and ``escaped`` of the environment. It tells the
    environment the names that the code looks up (``looked_up``).
    """

    environment: Any

    def enter_frame(self, frame: Frame) -> None:
        super().enter_frame(frame)
        loads = frame.symbols.loads.values()
        self.environment.looked_up(self.name, [name for action, name in loads if action == VAR_LOAD_RESOLVE and name])

    def write_commons(self) -> None:
        self.writeline("shown = environment.shown")
        self.writeline("escaped = environment.escaped")
        super().write_commons()

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: Any) -> str:
        if not isinstance(node, nodes.TemplateData):
            raise nodes.Impossible
        return super()._output_child_to_const(node, frame, finalize)

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:  # noqa: ARG002 - as Jinja's
        if frame.eval_ctx.volatile:
            self.write("(escaped if context.eval_ctx.autoescape else shown)(")
        else:
            self.write("escaped(" if frame.eval_ctx.autoescape else "shown(")

    def visit_EvalContextModifier(self, node: nodes.EvalContextModifier, frame: Frame) -> None:
        if any(not isinstance(option.value, nodes.Const) for option in node.options):
            self.fail("autoescape is true or false here, nothing that is computed", node.lineno)
        super().visit_EvalContextModifier(node, frame)
