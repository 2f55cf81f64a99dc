"""Settings: every hyper-parameter of a run in one frozen record."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from easgd_lib.errors import SettingsError
from easgd_lib.method import limits
from easgd_lib.method.algorithms import JACOBI, VARIANTS, method_named
from easgd_lib.method.center import ORDERS, CenterKind, kind_of
from easgd_lib.method.extension import find
from easgd_lib.values import kind, number

BETA_PER = ("exchange", "step")
PRECISIONS = ("float32", "bfloat16", "float64")
IF_WORKER_DIES = ("continue", "stop")
ELASTIC = ("alpha", "beta", "rho")
OPTIONAL: dict[str, Any] = {
    "order": "asynchronous",
    "tau": 10,
    "delta": 0.9,
    "beta_per": "exchange",
    "variant": JACOBI,
    "average_rate": 0.001,
    "outer_rate": 1.0,
    "outer_momentum": 0.9,
}  # options that not every method uses, and their defaults

# As given, a field may be left out. As resolved, it has the type declared here wherever it is
# used, and reads None where it is not: by this method, or for this budget.
LEFT_OUT: Any = None
SNAPSHOTS = 12
NODES = 2


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters of one run, in the papers' symbols. Bad ones raise `SettingsError`.

    An option that the method does not use must be left out, and then reads None.
    Of α, β and ρ give one at most (none: β = 0.9, as in the paper); the others follow:

    - ``beta_per="exchange"`` (the authors' code): α = β/p
    - ``beta_per="step"`` (the KTH report; the paper's footnote 8): α = β/(pτ)
    - ρ = α/η

    With the center `tree` p is replaced by the workers on a node, and the nodes are tied to the
    root by ``alpha_root``, as p would be: β/nodes, or β/(nodes · τ_root).

    >>> settings = Settings("easgd", workers=4, eta=0.1, beta=0.8)
    >>> settings.alpha, settings.rho
    (0.2, 2.0)
    """

    method: str  # a name in `methods.METHODS`, or "module:Class"
    workers: int = 1  # p
    eta: float = 0.02  # η, learning rate
    alpha: float = LEFT_OUT  # α, moving rate: fraction of x − x̃ moved at one exchange
    beta: float = LEFT_OUT  # β
    rho: float = LEFT_OUT  # ρ, elastic penalty
    beta_per: str = LEFT_OUT  # what β is spread over (default "exchange")
    variant: str = LEFT_OUT  # update order of an elastic exchange (default "jacobi")
    tau: int = LEFT_OUT  # τ, local steps between exchanges (default 10; some methods: 1)
    delta: float = LEFT_OUT  # δ, momentum (default 0.9; of local SGD and its kin 0)
    outer_rate: float = LEFT_OUT  # a, of an outer optimizer (defaults: see the method)
    outer_momentum: float = LEFT_OUT  # of the same
    average_rate: float = LEFT_OUT  # a, of moving averages (default 0.001)
    gamma: float = 0.0  # γ, decay η/(1 + γt)^½
    batch_size: int = 64
    data: str = LEFT_OUT  # in `sources.DATASETS`, or your own; left out: MNIST, else the sample
    center: str = "window"  # where x̃ lives: a name in `center.CENTERS`, or "module:attribute"
    nodes: int = LEFT_OUT  # of center tree, the workers dealt out in blocks (default 2)
    tau_root: int = LEFT_OUT  # and a node's steps between its exchanges with the root (default τ)
    objective: str | None = None  # "module:attribute"; None: the images' own
    order: str = LEFT_OUT  # of exchanges (default: the center's first, mostly "asynchronous")
    seconds: float = LEFT_OUT  # how long to train: one of the three,
    steps: int = LEFT_OUT  # steps of each worker,
    epochs: float = LEFT_OUT  # (default 1) N samples drawn by each worker
    seed: int = 0
    precision: str = "float32"
    threads: int | None = None  # per worker; None: the cores shared out
    snapshots: int = LEFT_OUT  # how often x̃ and worker 0 are copied (12, but ten steps apart)
    worker_curve: bool = True  # evaluate worker 0's snapshots too
    if_worker_dies: str = "continue"  # without it; β and p stay as set. Or "stop"
    allow_unstable: bool = False  # let α leave its limit: some lessons need the explosion
    given: str | None = field(default=None, init=False, compare=False)  # which of α, β, ρ

    def __post_init__(self):
        self._check_kinds()
        method = method_named(self.method)
        if self.objective:
            find("objective", self.objective, {})
        self._check_choices()
        self._check_ranges()
        self._refuse_unused()
        self._fill_in()
        if self.variant not in (None, JACOBI) and self.method not in VARIANTS[self.variant]:
            raise SettingsError(f"{self.method} has no variant {self.variant}", "leave it out")
        if method.exchange:
            self._check_center()
        elif self.workers != 1:
            raise SettingsError(f"{self.method} is sequential", "workers must be 1")
        if self.kind.nodes:
            self._check_tree()
        if "alpha" in method.options:
            self._derive_elastic()
            self._guard("alpha", self.alpha_limit, reached=self.atomic)
        if "outer_rate" in method.options:
            limit = limits.outer_rate(self.outer_momentum or 0.0, nesterov=method.nesterov)
            self._guard("outer_rate", limit, reached=False)

    def _set(self, name: str, value: Any):
        object.__setattr__(self, name, value)

    def _check_kinds(self):
        """Texts are texts and switches are switches; numbers are looked at one by one."""
        for each in fields(self):
            value = getattr(self, each.name)
            if value is None and each.default is not None:
                raise SettingsError(f"{each.name} is missing", "give it, or leave it out")
            for allowed in (str, bool):
                if value is not None and each.type in (allowed, allowed | None):
                    kind(each.name, value, allowed)

    def _check_choices(self):
        choices = {
            "beta_per": (None, *BETA_PER),
            "variant": (None, *VARIANTS),
            "order": (None, *ORDERS),
            "precision": PRECISIONS,
            "if_worker_dies": IF_WORKER_DIES,
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                names = ", ".join(choice for choice in allowed if choice)
                raise SettingsError(
                    f"unknown {name} {getattr(self, name)!r}", f"choose from {names}"
                )

    def _check_ranges(self):
        budgets = [x for x in ("seconds", "steps", "epochs") if getattr(self, x) is not None]
        if len(budgets) > 1:
            raise SettingsError(f"give one of seconds, steps, epochs, not {' and '.join(budgets)}")
        if all(getattr(self, name) is None for name in ("seconds", "steps", "epochs")):
            self._set("epochs", 1.0)
        for name, least in (
            ("workers", 1),
            ("tau", 1),
            ("batch_size", 1),
            ("steps", 1),
            ("threads", 1),
            ("nodes", 2),
            ("tau_root", 1),
            ("snapshots", 1),
            ("seed", 0),
        ):
            if getattr(self, name) is not None:
                number(name, getattr(self, name), least, whole=True)
        for name in ("eta", "gamma"):
            number(name, getattr(self, name), 0)
        for name in (
            "seconds", "epochs", "delta", "average_rate", "outer_rate", "outer_momentum", *ELASTIC
        ):  # fmt: skip
            if getattr(self, name) is not None:
                number(name, getattr(self, name))
        for name in ("seconds", "epochs"):
            if getattr(self, name) is not None and getattr(self, name) <= 0:
                raise SettingsError(f"{name} must be finite and more than 0: {getattr(self, name)}")
        for name in ("delta", "outer_momentum"):
            if getattr(self, name) is not None and not 0 <= getattr(self, name) < 1:
                raise SettingsError(
                    f"{name} must be at least 0 and less than 1: {getattr(self, name)}"
                )
        if self.outer_rate is not None and self.outer_rate <= 0:
            raise SettingsError(f"outer_rate must be above 0: {self.outer_rate}")
        if self.average_rate is not None and not 0 < self.average_rate <= 1:
            raise SettingsError(f"average_rate must be above 0, at most 1: {self.average_rate}")

    def _refuse_unused(self):
        """An option that does nothing would let its user believe that it did something."""
        method = method_named(self.method)
        used = method.options | ({"order"} if method.exchange else set())
        for name in (*OPTIONAL, *ELASTIC):
            if getattr(self, name) is not None and name not in used:
                raise SettingsError(f"{self.method} does not use {name}", "leave it out")
        for name in ("nodes", "tau_root"):
            if getattr(self, name) is not None and not self.kind.nodes:
                raise SettingsError(f"center {self.center} does not use {name}", "leave it out")
        own = self.kind.serve or self.kind.orders != ORDERS
        if not method.exchange and own:
            raise SettingsError(f"{self.method} has no center", f"leave {self.center} out")

    def _fill_in(self):
        method = method_named(self.method)
        orders = [order for order in self.kind.orders if order in method.orders]
        defaults = OPTIONAL | method.defaults | {"order": (orders or self.kind.orders)[0]}
        for name, value in defaults.items():
            used = name in method.options or (name == "order" and method.exchange)
            if used and getattr(self, name) is None:
                self._set(name, value)
        if self.snapshots is None:
            self._set("snapshots", self._usual_snapshots)
        if self.kind.nodes:
            self._set("nodes", NODES if self.nodes is None else self.nodes)
            self._set("tau_root", self.tau if self.tau_root is None else self.tau_root)

    @property
    def _usual_snapshots(self) -> int:
        """Evaluating one costs as much as ten steps and more."""
        return SNAPSHOTS if self.steps is None else min(SNAPSHOTS, max(1, self.steps // 10))

    @property
    def kind(self) -> CenterKind:
        """What the center of this name is."""
        return kind_of(self.center)

    def _check_center(self):
        method = method_named(self.method)
        if method.every_step and self.tau != 1:
            raise SettingsError(
                f"{self.method} exchanges every step", f"tau must be 1, not {self.tau}"
            )
        if self.method == "slowmo" and not self.eta:
            raise SettingsError("slowmo divides by eta", "eta must be more than 0")
        if self.order not in method.orders:
            own = " or ".join(method.orders)
            raise SettingsError(
                f"{self.method} is {own}: it knows no {self.order} order", "leave order out"
            )
        if self.order not in self.kind.orders:
            own = " or ".join(self.kind.orders)
            raise SettingsError(
                f"center {self.center} is {own}: it knows no {self.order} order", "leave order out"
            )
        if self.kind.replicas and method.server_optimizer(self):
            raise SettingsError(
                f"center {self.center} only adds, and {self.method} asks more of its center",
                "use window, server or local",
            )

    def _check_tree(self):
        if "alpha" not in method_named(self.method).options:
            raise SettingsError(
                f"center tree ties its nodes elastically, and {self.method} has no α",
                "use easgd or eamsgd, or another center",
            )
        if self.variant == "background":
            raise SettingsError(
                "the nodes of center tree exchange in the background themselves",
                "leave variant out",
            )
        if self.workers < 2 * self.nodes:
            raise SettingsError(
                f"{self.nodes} nodes need {2 * self.nodes} workers or more, not {self.workers}",
                "a node of one worker is a worker: use center server",
            )
        if self.tau_root % self.tau:
            raise SettingsError(
                f"tau_root = {self.tau_root} is no multiple of tau = {self.tau}",
                "a node exchanges with the root after an exchange with its workers",
            )

    @property
    def workers_per_node(self) -> int:
        """The most workers that share one center: all, but for the center `tree`."""
        return -(-self.workers // (self.nodes or 1))

    @property
    def alpha_root(self) -> float | None:
        """The moving rate between a node's center and the root, of the center `tree`."""
        return None if self.nodes is None else self.beta / self._root_exchanges_per_beta

    @property
    def _root_exchanges_per_beta(self) -> int:
        return self.nodes * (self.tau_root if self.beta_per == "step" else 1)

    @property
    def _exchanges_per_beta(self) -> int:
        """How many exchanges β is spread over: p, or pτ where β is per step."""
        return self.workers_per_node * (self.tau if self.beta_per == "step" else 1)

    def _derive_elastic(self):
        given = [name for name in ELASTIC if getattr(self, name) is not None]
        if len(given) > 1:
            raise SettingsError(
                f"give one of alpha, beta, rho, not {' and '.join(given)}", "the others follow"
            )
        self._set("given", given[0] if given else "beta")
        if not given:
            self._set("beta", 0.9)
        if self.given == "beta":
            self._set("alpha", self.beta / self._exchanges_per_beta)
        elif self.given == "rho":
            self._set("alpha", self.eta * self.rho)
        if self.given != "beta":
            self._set("beta", self.alpha * self._exchanges_per_beta)
        if self.given != "rho":
            self._set("rho", self.alpha / self.eta if self.eta else None)

    @property
    def atomic(self) -> bool:
        """Whether no other push falls between a worker's pull and its push."""
        if self.order == "synchronous" or self.kind.nodes:
            return False
        return self.order == "round_robin" or self.kind.atomic

    @property
    def alpha_limit(self) -> float:
        """The largest stable α of the exchange alone (ηh → 0): see `limits`.

        >>> [Settings("easgd", workers=4, center=name).alpha_limit for name in ("window", "server")]
        [0.4, 1.0]
        """
        p = self.workers
        if self.kind.nodes:
            per_beta = self._exchanges_per_beta, self._root_exchanges_per_beta
            return limits.tree(self.workers_per_node, self.nodes, per_beta[0] / per_beta[1])
        if self.atomic:
            return 1.0
        if self.variant != "gauss_seidel":
            return limits.overlapping(p)
        return limits.gauss_seidel(p, p if self.order == "synchronous" else 1)

    def _guard(self, name: str, limit: float, *, reached: bool):
        """`reached`: whether the limit itself is stable."""
        value, sign = getattr(self, name), "≤" if reached else "<"
        inside = 0 <= value <= limit and (reached or value < limit)
        if inside or self.allow_unstable:
            return
        where = f"center {self.center}, order {self.order} " if name == "alpha" else ""
        raise SettingsError(
            f"{name} = {value:.4g} is unstable",
            f"with {self.workers} workers, {where}it must be 0 ≤ {name} {sign} {limit:.4g} "
            "(allow_unstable lets you watch it explode)",
        )

    @property
    def rho_effective(self) -> float | None:
        """α/(ητ), the stiffness per local step."""
        return self.rho / self.tau if self.rho is not None else None

    @property
    def summary(self) -> str:
        """The settings that shape a curve, in one line and the papers' symbols.

        >>> Settings("easgd", workers=4).summary
        'easgd, p = 4, η = 0.02, α = 0.225 (β = 0.9 per exchange), τ = 10, batch 64'
        """
        words = [self.method, f"p = {self.workers}", f"η = {self.eta:g}"]
        if self.alpha is not None:
            words.append(f"α = {self.alpha:.4g} (β = {self.beta:.4g} per {self.beta_per})")
        if self.variant not in (None, JACOBI):
            words[0] += f" ({self.variant.replace('_', '-')})"
        words += [
            f"{symbol} = {value:g}"
            for symbol, value in (
                ("τ", self.tau),
                ("τ_root", self.tau_root),
                ("δ", self.delta),
                ("γ", self.gamma),
                ("a", self.average_rate or self.outer_rate),
                ("μ", self.outer_momentum),
            )
            if value
        ]
        words.append(f"batch {self.batch_size}")
        words += [name for name in (self.center, self.objective) if name and ":" in name]
        return ", ".join(words)

    @property
    def ranks(self) -> int:
        """How many MPI ranks the run takes: a parameter server is one more."""
        return self.workers + self.kind.extra_ranks

    def replace(self, **changes) -> "Settings":
        """These settings with some changed; α, β and ρ are derived anew from the one given.

        >>> Settings("easgd", beta=0.8).replace(workers=4).alpha
        0.2
        """
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        elastic = {name for name in ELASTIC if name != self.given or set(changes) & set(ELASTIC)}
        values |= dict.fromkeys(elastic)
        if set(changes) & {"seconds", "steps", "epochs"}:
            values |= dict.fromkeys(("seconds", "steps", "epochs"))
            if self.snapshots == self._usual_snapshots:
                values["snapshots"] = None
        centers = {self.center, changes.get("center", self.center)}
        methods = {self.method, changes.get("method", self.method)}
        parts: list[Any] = [*map(kind_of, centers), *map(method_named, methods)]
        if any(part.orders != ORDERS for part in parts):
            values["order"] = None  # which this center decides itself
        if self.kind.nodes and not kind_of(changes.get("center", self.center)).nodes:
            values |= {"nodes": None, "tau_root": None}
        if self.tau_root == self.tau:
            values["tau_root"] = None  # it follows τ
        return Settings(**(values | changes))

    def to_dict(self) -> dict:
        """All settings, the derived ones included, as plain numbers and words."""
        return asdict(self) | {
            "rho_effective": self.rho_effective,
            "alpha_limit": self.alpha_limit,
            "alpha_root": self.alpha_root,
        }

    @classmethod
    def from_dict(cls, record: dict) -> "Settings":
        """The settings that `to_dict` wrote down.

        Raises
        ------
        SettingsError
            They are those of an older version, with options that are gone.
        """
        if record.get("suspects"):
            raise SettingsError(
                "these settings name suspects, an option that is gone",
                "run it anew with a center or an objective of easgd_lib.reproduction.kth",
            )
        values = {f.name: record[f.name] for f in fields(cls) if f.init and f.name in record}
        values |= {name: None for name in ELASTIC if name != record.get("given")}
        return cls(**values)
