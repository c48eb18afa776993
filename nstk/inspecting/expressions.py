"""Functions of x written as text, with exact derivatives.

The text is parsed and then evaluated node by node; nothing that it names is looked up or run. Every
node gives a value and a derivative (forward-mode differentiation).
"""

import ast
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from nstk.errors import SettingsError

LONGEST, MOST_NODES = 200, 200
"""Of a text, in characters; of its syntax tree."""

Dual = tuple[float, float]
"""The value of a term at x, and its derivative."""

FUNCTIONS: dict[str, Callable[[float], Dual]] = {
    "abs": lambda u: (abs(u), math.copysign(1.0, u) if u else math.nan),
    "atan": lambda u: (math.atan(u), 1 / (1 + u * u)),
    "cos": lambda u: (math.cos(u), -math.sin(u)),
    "exp": lambda u: (math.exp(u), math.exp(u)),
    "log": lambda u: (math.log(u), 1 / u),
    "sin": lambda u: (math.sin(u), math.cos(u)),
    "sqrt": lambda u: (math.sqrt(u), 0.5 / math.sqrt(u)),
    "tan": lambda u: (math.tan(u), 1 + math.tan(u) ** 2),
    "tanh": lambda u: (math.tanh(u), 1 - math.tanh(u) ** 2),
}
"""The value and the derivative of each function of one term."""

CONSTANTS = {"pi": math.pi, "e": math.e}

_SPELLINGS = {"^": "**", "−": "-", "·": "*", "×": "*", "π": "pi", "²": "**2", "³": "**3"}


@dataclass(frozen=True)
class Expression:
    """A function of x; SettingsError if the text is not one.

    >>> from nstk.inspecting.expressions import Expression
    >>> Expression("x^2 - 2")(3.0)
    (7.0, 6.0)
    """

    text: str

    def __post_init__(self) -> None:
        _evaluate(self._tree, math.nan)

    def __call__(self, x: float) -> Dual:
        """Return f(x) and f′(x), not finite where they do not exist."""
        return _evaluate(self._tree, float(x))

    @property
    def _tree(self) -> ast.expr:
        text = self.text
        for sign, meaning in _SPELLINGS.items():
            text = text.replace(sign, meaning)
        try:
            if len(text) > LONGEST:
                raise ValueError
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the parser, about what is refused anyway
                tree = ast.parse(text.strip(), mode="eval").body
            if sum(1 for _ in ast.walk(tree)) > MOST_NODES:
                raise ValueError
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise refuse(self.text) from None
        return tree


def refuse(text: str) -> SettingsError:
    shown = text if len(text) <= LONGEST else f"{text[:20]}…"
    return SettingsError(
        f"`function` is {shown!r}; it must be a formula of x with numbers, + - * / ^, brackets, "
        f"pi, e, {', '.join(FUNCTIONS)}, as in x^2 - 2 or 2*x + sin(x)."
    )


def _evaluate(node: ast.expr, x: float) -> Dual:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            try:
                return float(number), 0.0
            except OverflowError:
                return math.inf, math.nan
        case ast.Name(id="x"):
            return x, 1.0
        case ast.Name(id=name) if name in CONSTANTS:
            return CONSTANTS[name], 0.0
        case ast.UnaryOp(op=ast.UAdd(), operand=inner):
            return _evaluate(inner, x)
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            u, du = _evaluate(inner, x)
            return -u, -du
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _guard(_OPERATORS[type(op)], _evaluate(left, x), _evaluate(right, x))
        case ast.Call(func=ast.Name(id=name), args=[inner], keywords=[]) if name in FUNCTIONS:
            return _guard(_apply, FUNCTIONS[name], _evaluate(inner, x))
    raise refuse(ast.unparse(node))


def _guard(operation: Callable[..., Dual], *terms: object) -> Dual:
    """Apply an operation; where it is not defined, neither is what follows from it."""
    try:
        return operation(*terms)
    except (ArithmeticError, ValueError):
        return math.nan, math.nan


def _apply(function: Callable[[float], Dual], term: Dual) -> Dual:
    value, slope = function(term[0])
    return value, slope * term[1]


def _multiply(u: Dual, v: Dual) -> Dual:
    return u[0] * v[0], u[1] * v[0] + u[0] * v[1]


def _divide(u: Dual, v: Dual) -> Dual:
    return u[0] / v[0], (u[1] * v[0] - u[0] * v[1]) / (v[0] * v[0])


def _raise(u: Dual, v: Dual) -> Dual:
    power = math.pow(u[0], v[0])
    slope = v[0] * math.pow(u[0], v[0] - 1) * u[1] if v[0] else 0.0
    if v[1]:  # the exponent depends on x: (uᵛ)′ = uᵛ·(v′·ln u + v·u′/u)
        slope += power * v[1] * math.log(u[0])
    return power, slope


_OPERATORS: dict[type[ast.operator], Callable[[Dual, Dual], Dual]] = {
    ast.Add: lambda u, v: (u[0] + v[0], u[1] + v[1]),
    ast.Sub: lambda u, v: (u[0] - v[0], u[1] - v[1]),
    ast.Mult: _multiply,
    ast.Div: _divide,
    ast.Pow: _raise,
}
