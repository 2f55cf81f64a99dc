"""Settings: every hyper-parameter of a run in one frozen record."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from easgd_lib.errors import SettingsError
from easgd_lib.methods import METHODS

CENTERS = ("window", "server", "local")
ORDERS = ("asynchronous", "synchronous", "round_robin")
BETA_PER = ("exchange", "step")
PRECISIONS = ("float32", "bfloat16", "float64")
DATASETS = ("sample", "mnist", "fashion-mnist")
ELASTIC = ("alpha", "beta", "rho")


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters of one run, in the papers' symbols. Bad ones raise `SettingsError`.

    An option that the method does not use must be left out, and then reads None.
    Of α, β and ρ give one at most (none: β = 0.9, as in the paper); the others follow:

    - ``beta_per="exchange"`` (the authors' code): α = β/p
    - ``beta_per="step"`` (the report; the paper's footnote 8): α = β/(pτ)
    - ρ = α/η
    """

    method: str
    workers: int = 1  # p
    eta: float = 0.02  # η, learning rate
    alpha: float | None = None  # α, moving rate: fraction of x − x̃ moved at one exchange
    beta: float | None = None  # β
    rho: float | None = None  # ρ, elastic penalty
    beta_per: str = "exchange"
    tau: int | None = None  # τ, local steps between exchanges (default 10)
    delta: float | None = None  # δ, momentum (default 0.9)
    gamma: float = 0.0  # γ, decay η/(1 + γt)^½
    batch_size: int = 64
    data: str | None = None  # None: MNIST where it is found, else the sample
    center: str = "window"  # where x̃ lives
    order: str = "asynchronous"
    seconds: float | None = None  # how long to train: one of the three,
    steps: int | None = None  # steps of each worker,
    epochs: float | None = None  # (default 1) N samples drawn by each worker
    seed: int = 0
    precision: str = "float32"
    threads: int | None = None  # per worker; None: the cores shared out
    snapshots: int = 12  # how often x̃ and worker 0 are photographed for the curves
    allow_unstable: bool = False  # let α leave its limit: some lessons need the explosion
    given: str | None = field(default=None, init=False, compare=False)  # which of α, β, ρ

    def __post_init__(self):
        if self.method not in METHODS:
            raise SettingsError(f"unknown method {self.method!r}; choose from {', '.join(METHODS)}")
        self._check_choices()
        self._check_ranges()
        method = METHODS[self.method]
        self._default("tau", 10, used=method.exchanges)
        self._default("delta", 0.9, used=method.momentum)
        if not method.exchanges and self.workers != 1:
            raise SettingsError(f"{self.method} is sequential: workers must be 1")
        if method.elastic:
            self._derive_elastic()
            self._guard()
        elif any(getattr(self, name) is not None for name in ELASTIC):
            raise SettingsError(f"{self.method} has no elastic force: leave out alpha, beta, rho")

    def _set(self, name: str, value: Any):
        object.__setattr__(self, name, value)

    def _check_choices(self):
        choices = {
            "beta_per": BETA_PER,
            "center": CENTERS,
            "order": ORDERS,
            "precision": PRECISIONS,
            "data": (None, *DATASETS),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                names = ", ".join(choice for choice in allowed if choice)
                raise SettingsError(f"unknown {name} {getattr(self, name)!r}; choose from {names}")

    def _check_ranges(self):
        budgets = [name for name in ("seconds", "steps", "epochs") if getattr(self, name)]
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
            ("snapshots", 1),
            ("seed", 0),
        ):
            value = getattr(self, name)
            if value is not None and (value != int(value) or value < least):
                raise SettingsError(f"{name} must be a whole number of at least {least}: {value}")
        for name in ("eta", "gamma"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise SettingsError(f"{name} must be finite and at least 0: {getattr(self, name)}")
        for name in ("seconds", "epochs"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise SettingsError(f"{name} must be finite and more than 0: {value}")
        if self.delta is not None and not 0 <= self.delta < 1:
            raise SettingsError(f"delta must be at least 0 and less than 1: {self.delta}")

    def _default(self, name: str, value: Any, *, used: bool):
        if used and getattr(self, name) is None:
            self._set(name, value)
        elif not used and getattr(self, name) is not None:
            raise SettingsError(f"{self.method} does not use {name}: leave it out")

    @property
    def _exchanges_per_beta(self) -> int:
        """How many exchanges β is spread over: p, or pτ where β is per step."""
        return self.workers * (self.tau if self.beta_per == "step" else 1)

    def _derive_elastic(self):
        given = [name for name in ELASTIC if getattr(self, name) is not None]
        if len(given) > 1:
            raise SettingsError(
                f"give one of alpha, beta, rho, not {' and '.join(given)}: the others follow"
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
    def serialising(self) -> bool:
        """Whether no other push falls between a worker's pull and its push."""
        if self.order == "synchronous":
            return False
        return self.order == "round_robin" or self.center in ("server", "local")

    @property
    def alpha_limit(self) -> float:
        """The largest stable α of the exchange alone (ηh → 0).

        Serialised exchanges are averages as long as α ≤ 1. Where all p pushes may
        start from the same x̃, the difference to the mean is multiplied by
        1 − (p + 1)α: α < 2/(p + 1) (paper Condition 17 as ηh → 0).
        """
        return 1.0 if self.serialising else 2 / (self.workers + 1)

    def _guard(self):
        limit, sign = self.alpha_limit, "≤" if self.serialising else "<"
        inside = 0 <= self.alpha <= limit and (self.serialising or self.alpha < limit)
        if not (inside or self.allow_unstable):
            raise SettingsError(
                f"alpha = {self.alpha:.4g} is unstable: with {self.workers} workers, "
                f"center {self.center}, order {self.order} it must be 0 ≤ alpha {sign} {limit:.4g} "
                f"(allow_unstable lets you watch it explode)"
            )

    @property
    def rho_effective(self) -> float | None:
        """α/(ητ), the stiffness per local step."""
        return self.rho / self.tau if self.rho is not None else None

    @property
    def summary(self) -> str:
        """The settings that shape a curve, in one line and the papers' symbols."""
        words = [self.method, f"p = {self.workers}", f"η = {self.eta:g}"]
        if self.alpha is not None:
            words.append(f"α = {self.alpha:.4g} (β = {self.beta:.4g} per {self.beta_per})")
        words += [
            f"{symbol} = {value:g}"
            for symbol, value in (("τ", self.tau), ("δ", self.delta), ("γ", self.gamma))
            if value
        ]
        return ", ".join([*words, f"batch {self.batch_size}"])

    @property
    def ranks(self) -> int:
        """How many MPI ranks the run takes: the server is one more."""
        return self.workers + (self.center == "server" and METHODS[self.method].exchanges)

    def replace(self, **changes) -> "Settings":
        """These settings with some changed; α, β and ρ are derived anew from the one given."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        elastic = {name for name in ELASTIC if name != self.given or set(changes) & set(ELASTIC)}
        values |= dict.fromkeys(elastic)
        if set(changes) & {"seconds", "steps", "epochs"}:
            values |= dict.fromkeys(("seconds", "steps", "epochs"))
        return Settings(**(values | changes))

    def to_dict(self) -> dict:
        """All settings, the derived ones included, as plain numbers and words."""
        return asdict(self) | {
            "rho_effective": self.rho_effective,
            "alpha_limit": self.alpha_limit,
        }

    @classmethod
    def from_dict(cls, record: dict) -> "Settings":
        """The settings that `to_dict` wrote down."""
        values = {f.name: record[f.name] for f in fields(cls) if f.init and f.name in record}
        values |= {name: None for name in ELASTIC if name != record.get("given")}
        return cls(**values)
