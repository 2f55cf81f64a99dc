"""The largest stable α of the exchange alone (ηh → 0), as `Settings` guards it.

Atomic exchanges are averages as long as α ≤ 1, whatever the update order. Else the worst case is
that all p workers pull the same x̃, and stand at the same x. Limits that depend on ηh and on τ
are in `theory`.
"""


def overlapping(p: int) -> float:
    """Of p workers that read the old pair: x − x̃ is multiplied by 1 − (p + 1)α.

    Paper Condition 17 as ηh → 0; the same where the step comes first.

    >>> overlapping(4)
    0.4
    """
    return 2 / (p + 1)


def gauss_seidel(p: int, pushes: int) -> float:
    """Of workers pulled to the new center with so many pushes in it: 1 − (p + 1)α + kα².

    k is p if all step together, else perhaps 1, the worker's own.

    >>> gauss_seidel(1, 1)
    2.0
    """
    k = pushes
    discriminant = (p + 1) ** 2 - 8 * k
    if discriminant < 0:  # the factor never reaches −1: it ends where it is 1 again
        return (p + 1) / k
    return ((p + 1) - discriminant**0.5) / (2 * k)


def outer_rate(momentum: float, *, nesterov: bool) -> float:
    """The largest stable outer rate, where the workers' mean is a long round's minimum.

    Then Δ = x̃ − x*, and the outer optimizer minimizes ½ Δ²: a < 2(1 + μ) with heavy-ball
    momentum, a < 2(1 + μ)/(1 + 2μ) with Nesterov's. After a shorter round Δ is smaller.

    >>> outer_rate(0.5, nesterov=False), outer_rate(0.5, nesterov=True)
    (3.0, 1.5)
    """
    return 2 * (1 + momentum) / ((1 + 2 * momentum) if nesterov else 1)


def tree(n: int, nodes: int, ratio: float) -> float:
    """Of n workers a node, and K nodes tied to a root by r = α · ratio, a force that comes late.

    In the worst order all of a node's workers push, of one pull, and then the node exchanges.
    Where x, c and x̃ change sign from one exchange to the next, a worker stands at
    x = −αc/(2 − α), and the force on a node is rc/(1 − Kr/2); so n α/(2 − α) + r/(2 − Kr) = 1.
    One level alone gives `overlapping` again.

    >>> round(tree(4, 4, 1.0), 4), round(tree(4, 4, 0.0), 4)
    (0.2857, 0.4)
    """
    square = ratio * (nodes + n * nodes + 1)
    half = n + 1 + ratio * (nodes + 1)
    return 4 / (half + (half**2 - 4 * square) ** 0.5)
