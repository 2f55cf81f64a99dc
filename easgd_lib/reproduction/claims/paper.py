"""The paper's claims, in the order of its figures; scaled down: our network, images, budget."""

from collections.abc import Callable

from easgd_lib.metrics import (
    Sample,
    below,
    each_below,
    error_at,
    errors,
    least_error,
    roughness,
    sample,
)
from easgd_lib.reproduction.claims.claim import CALM, Claim, Finding, values, worth
from easgd_lib.reproduction.claims.paper_theory import admm, corollary, misprint, triangle
from easgd_lib.reproduction.claims.paper_time import (
    eamsgd_fastest,
    equal_time,
    fraction_grows,
    fraction_small,
    least_time,
    not_always_less,
    period_label,
    speed_up,
)
from easgd_lib.reproduction.experiments import Case, Records
from easgd_lib.reproduction.experiments.kth import PERIODS
from easgd_lib.reproduction.experiments.paper import (
    ALPHAS,
    BY_ALPHA,
    BY_PERIOD,
    BY_RATE,
    EAMSGD,
    EASGD,
    LONG_PERIODS,
    MDOWNPOUR,
    MSGD,
    PERIOD,
    RATES,
    SEQUENTIAL,
    WORKERS,
    of_workers,
)


def _by_period(records: Records, method: str) -> dict[int, Sample]:
    return {tau: errors(records(BY_PERIOD, Case(method, tau))) for tau in PERIODS}


def _eamsgd_best(records: Records) -> Finding:
    eamsgd = _by_period(records, "eamsgd")
    cases = [Case(method, tau) for tau in PERIODS for method in ("easgd", "downpour")]
    rivals = {case: errors(records(BY_PERIOD, case)) for case in [*cases, MSGD, MDOWNPOUR]}
    named = {period_label(case): each for case, each in rivals.items()}
    return Finding(
        {f"eamsgd, τ = {tau}": each.values for tau, each in eamsgd.items()} | values(named),
        [
            below(mine, each)
            for tau, mine in eamsgd.items()
            for case, each in rivals.items()
            if case.tau in (tau, None)
        ],
        "Final test errors: "
        + worth({f"EAMSGD τ = {tau}": each for tau, each in eamsgd.items()} | named)
        + ". Of those compared, four workers; at the end of a short run, not at its lowest.",
    )


def _downpour(records: Records) -> Finding:
    found, roughs = _by_period(records, "downpour"), {}
    for method in ("downpour", "easgd"):
        for tau in (16, 64):
            roughs[f"{method}, τ = {tau}"] = sample(
                records(BY_PERIOD, Case(method, tau)), roughness
            )
    return Finding(
        {f"error, τ = {tau}": each.values for tau, each in found.items()}
        | {f"largest fall, {name}": each.values for name, each in roughs.items()},
        [
            1 if found[tau].mean - found[1].mean > max(found[tau].spread, CALM) else -1
            for tau in (16, 64)
        ]
        + [below(roughs[f"easgd, τ = {tau}"], roughs[f"downpour, τ = {tau}"]) for tau in (16, 64)],
        "DOWNPOUR's final test error: "
        + worth({f"τ = {tau}": each for tau, each in found.items()})
        + ", each at its best of three rates. Largest fall of accuracy between two snapshots: "
        + worth(roughs)
        + ". Pushes add up: p workers push τ steps each from the same center.",
    )


def _calm(records: Records) -> Finding:
    found = _by_period(records, "easgd")
    return Finding(
        {f"τ = {tau}": each.values for tau, each in found.items()},
        [1 if each.mean - found[1].mean < CALM else -1 for tau, each in found.items() if tau > 1],
        "EASGD's final test error, α = β/p at every exchange: "
        + worth({f"τ = {tau}": each for tau, each in found.items()})
        + ".",
    )


def _averages(records: Records) -> Finding:
    found = {
        f"{method}, τ = {tau}": errors(records(BY_PERIOD, Case(method, tau)))
        for method in ("downpour", "adownpour", "mvadownpour")
        for tau in (1, 16)
    }
    loss = {
        method: found[f"{method}, τ = 16"].mean - found[f"{method}, τ = 1"].mean
        for method in ("downpour", "adownpour")
    }
    return Finding(
        values(found),
        [1 if each > CALM else -1 for each in loss.values()],
        f"Final test errors: {worth(found)}. (MVADOWNPOUR's average remembers a thousand pushes, "
        f"more than our run has at τ = 16: it is not judged.)",
    )


def _larger_tau(records: Records) -> Finding:
    found = {
        f"{method}, τ = {tau}": errors(records(BY_PERIOD, Case(method, tau)))
        for method in ("easgd", "eamsgd")
        for tau in (1, 64)
    }
    return Finding(
        values(found),
        [below(found[f"{m}, τ = 64"], found[f"{m}, τ = 1"]) for m in ("easgd", "eamsgd")],
        f"Final test errors: {worth(found)}. The paper compares the lowest errors of long runs.",
    )


def _exploration(records: Records) -> Finding:
    found = {alpha: errors(records(BY_ALPHA, Case("easgd", alpha=alpha))) for alpha in ALPHAS}
    return Finding(
        {f"α = {alpha:g}": each.values for alpha, each in found.items()},
        each_below(list(found.values())),
        "Test error of the center, p = 2, τ = 4, ρ = α/η: "
        + worth({f"ρ = {alpha / 0.01:.3g}": each for alpha, each in found.items()})
        + ".",
    )


def _by_workers(case: Case) -> Callable[[Records], Finding]:
    def judge(records: Records) -> Finding:
        found = {p: errors(of_workers(records, case, p)) for p in WORKERS}
        return Finding(
            {f"p = {p}": each.values for p, each in found.items()},
            [below(found[p], found[q]) for q, p in ((4, 8), (8, 16))],
            f"Final test error after as many steps of each worker, τ = {PERIOD}: "
            + worth({f"p = {p}": each for p, each in found.items()})
            + ". The rate is that of four workers, and α = β/p: with more workers each is pulled "
            "less.",
        )

    return judge


def _sequential(records: Records) -> Finding:
    found = {name: errors(records(SEQUENTIAL, Case(name)))
             for name in ("sgd", "asgd", "mvasgd", "msgd")}  # fmt: skip
    return Finding(
        values(found),
        [below(found["asgd"], found["sgd"]), below(found["mvasgd"], found["sgd"])],
        f"Final test errors of one worker: {worth(found)}. An average moves less at the end.",
    )


def _msgd_least(records: Records) -> Finding:
    found = {name: errors(records(SEQUENTIAL, Case(name)), least_error)
              for name in ("sgd", "asgd", "mvasgd", "msgd")}  # fmt: skip
    return Finding(
        values(found),
        [below(found["msgd"], found[rival]) for rival in ("sgd", "asgd", "mvasgd")],
        f"Lowest test errors of one worker: {worth(found)}.",
    )


def _effect_of_rate(case: Case, better: bool) -> Callable[[Records], Finding]:
    def judge(records: Records) -> Finding:
        rates = RATES[case.method]
        small, _, large = rates
        found = {eta: errors(records(BY_RATE, case._replace(eta=eta))) for eta in rates}
        order = (found[large], found[small]) if better else (found[small], found[large])
        return Finding(
            {f"η = {eta:g}": each.values for eta, each in found.items()},
            [below(*order)],
            f"Final test error of {case.method.upper()}, p = 4, τ = {PERIOD}: "
            + worth({f"η = {eta:g}": each for eta, each in found.items()})
            + ".",
        )

    return judge


def _insensitive(records: Records) -> Finding:
    found = {tau: errors(records(LONG_PERIODS, Case("easgd", tau))) for tau in (1, 10, 100, 1000)}
    return Finding(
        {f"τ = {tau}": each.values for tau, each in found.items()},
        [1 if abs(found[tau].mean - found[1].mean) < CALM else -1 for tau in (10, 100, 1000)],
        "EASGD's final test error: "
        + worth({f"τ = {tau}": each for tau, each in found.items()})
        + ". At τ = 1000 a worker exchanges once or twice in all.",
    )


def _trapped(records: Records) -> Finding:
    runs = {tau: records(LONG_PERIODS, Case("eamsgd", tau)) for tau in (10, 100)}
    free, trapped = errors(runs[10]), errors(runs[100])
    half = errors(runs[100], lambda run: error_at(run, run.seconds / 2))
    return Finding(
        {"τ = 10": free.values, "τ = 100": trapped.values, "τ = 100, halfway": half.values},
        [below(free, trapped), 1 - max(0, below(trapped, half)) * 2],
        f"EAMSGD, δ = .99, η = .01: final test error {free.mean:.1%} at τ = 10, {trapped.mean:.1%} "
        f"at τ = 100, where it was {half.mean:.1%} halfway. With this momentum workers run far "
        f"apart in a hundred steps.",
    )


def _freed(records: Records) -> Finding:
    trapped, freed = (
        errors(records(LONG_PERIODS, Case("eamsgd", 100, decay=decay))) for decay in (False, True)
    )
    free = errors(records(LONG_PERIODS, Case("eamsgd", 10)))
    return Finding(
        {"τ = 100": trapped.values, "τ = 100, decay": freed.values, "τ = 10": free.values},
        [below(freed, trapped), 1 if freed.mean - free.mean < CALM else -1],
        f"With η/(1 + γt)^½ the error at τ = 100 is {freed.mean:.1%}, without it "
        f"{trapped.mean:.1%}; at τ = 10 it is {free.mean:.1%}. (γ = .01, so that η falls to "
        f"a quarter within our run.)",
    )


def _untested(what: str) -> Callable[[Records], Finding]:
    def judge(records: Records) -> Finding:
        return Finding(
            {},
            [],
            f"{what}: 1.3 million images and a network of eleven layers, days on four or eight "
            f"GPUs.",
        )

    return judge


CLAIMS = [
    Claim(
        "paper-admm", "paper, section 4, Figure 1",
        "Round-robin ADMM can be unstable, even where each of its maps is stable.",
        "Radii of the rounds as in the color bars, to 5e-4; above 1 at η = .001, ρ = 2.5; each "
        "single map's at most 1.",
        admm,
    ),
    Claim(
        "paper-triangle", "paper, section 4, (12)-(13)",
        "EASGD in round robin is stable for 0 ≤ η ≤ 2, 0 ≤ α ≤ (4 − 2η)/(4 − η), whatever p.",
        "No spectral radius above 1 just inside.", triangle,
    ),
    Claim(
        "paper-corollary", "paper, Corollary 7.1 and Figure 5",
        "The center's mean squared error is like 1/p, and smaller for a smaller β.",
        "p · MSE nears its limit as p grows, to 1e-4 at p = 10⁶; and rises with β.", corollary,
    ),
    Claim(
        "paper-mdownpour", "paper, Algorithm 5", "The master moves by x̃ ← x̃ + δv.",
        "Without momentum it still descends.", misprint,
    ),
    Claim(
        "paper-eamsgd-best", "paper, Figure 2",
        "EAMSGD reaches the lowest test error at every τ.",
        "Lower final error than EASGD, DOWNPOUR, MDOWNPOUR and MSGD at τ = 1, 4, 16, 64.",
        _eamsgd_best,
    ),
    Claim(
        "paper-eamsgd-fastest", "paper, Figure 2", "EAMSGD is the fastest at every τ.",
        "First to a target accuracy, against EASGD, DOWNPOUR, MSGD.", eamsgd_fastest,
    ),
    Claim(
        "paper-downpour-unstable", "paper, Figure 2",
        "DOWNPOUR is highly unstable at τ = 16 and 64.",
        "At least two points worse than at τ = 1, and rougher than EASGD.", _downpour,
    ),
    Claim(
        "paper-easgd-calm", "paper, Figure 2",
        "EASGD hardly suffers from τ = 4, 16, 64 (our reading of the curves).",
        "Within two points of its error at τ = 1.", _calm,
    ),
    Claim(
        "paper-averages", "paper, Figure 2", "Averaging does not save DOWNPOUR at a large τ.",
        "DOWNPOUR and ADOWNPOUR lose two points from τ = 1 to 16.", _averages,
    ),
    Claim(
        "paper-larger-tau", "paper, Figure 2",
        "A larger τ tends to a better test error, of EASGD and EAMSGD.",
        "τ = 64 ends below τ = 1.", _larger_tau, long=True,
    ),
    Claim(
        "paper-exploration", "paper, sections 3 and 5",
        "More exploration, a smaller ρ, leads to a better test error.",
        "The test error rises at each step up in ρ.", _exploration, long=True,
    ),
    Claim(
        "paper-easgd-workers", "paper, Figure 3", "EASGD's test error falls with p.",
        "Lower at each doubling from 4 to 16.", _by_workers(EASGD), long=True,
    ),
    Claim(
        "paper-eamsgd-workers", "paper, Figure 3", "EAMSGD's test error falls with p.",
        "Lower at each doubling from 4 to 16.", _by_workers(EAMSGD), long=True,
    ),
    Claim(
        "paper-speed-up", "paper, Figure 3",
        "EAMSGD with sixteen workers is 11.1 times faster to 21 % than the best other method.",
        "First, and at least twice as fast.", speed_up, long=True,
    ),
    Claim(
        "paper-equal-time", "ours: the control that the paper leaves out",
        "What EAMSGD gains is not had by one worker in the same time, or with as large a batch.",
        "Lower error than SGD and MSGD, alone and with four times the batch, at equal seconds.",
        equal_time,
    ),
    Claim(
        "paper-imagenet-4", "paper, Figure 4",
        "On ImageNet EAMSGD with eight workers reaches 49 % error 1.8 times sooner than DOWNPOUR.",
        "ImageNet.", _untested("ImageNet"),
    ),
    Claim(
        "paper-averages-sequential", "paper, Figure 6",
        "Averaging SGD, running or moving, lowers its test error.",
        "ASGD and MVASGD end below SGD.", _sequential, long=True,
    ),
    Claim(
        "paper-msgd-least", "paper, Figure 6",
        "Of the sequential methods MSGD reaches the lowest test error.",
        "Lowest of all snapshots, against SGD, ASGD, MVASGD.", _msgd_least, long=True,
    ),
    Claim(
        "paper-imagenet-7", "paper, Figure 7",
        "Of the sequential methods MSGD has the lowest error on ImageNet.",
        "ImageNet.", _untested("ImageNet"),
    ),
    Claim(
        "paper-rate-eamsgd", "paper, Figure 8", "A larger η is good for EAMSGD's test error.",
        "The largest of three rates ends below the smallest.", _effect_of_rate(EAMSGD, True),
        long=True,
    ),
    Claim(
        "paper-rate-easgd", "paper, Figure 8", "A larger η is bad for EASGD's test error.",
        "The smallest of three rates ends below the largest.", _effect_of_rate(EASGD, False),
        long=True,
    ),
    Claim(
        "paper-insensitive", "paper, Figure 9",
        "EASGD is nearly insensitive to τ from 1 to 1000, per step.",
        "Within two points of τ = 1 at 10, 100, 1000.", _insensitive, long=True,
    ),
    Claim(
        "paper-trapped", "paper, Figure 9", "EAMSGD is trapped at τ = 100.",
        "A higher error than at τ = 10, and no lower at the end than halfway.", _trapped,
    ),
    Claim(
        "paper-freed", "paper, Figure 9", "Decaying the learning rate frees it.",
        "Lower than without decay, and within two points of τ = 10.", _freed,
    ),
    Claim(
        "paper-least-time", "paper, Figure 10",
        "Of EASGD, DOWNPOUR and MDOWNPOUR, EASGD needs the least time to a target accuracy.",
        "At p = 4, 8 and 16, against both.", least_time,
    ),
    Claim(
        "paper-not-always-less", "paper, Figure 10", "More workers do not always cut the time.",
        "Not every doubling cuts it.", not_always_less,
    ),
    Claim(
        "paper-imagenet-11", "paper, Figure 11",
        "On ImageNet EAMSGD needs the least time to each target accuracy.", "ImageNet.",
        _untested("ImageNet"),
    ),
    Claim(
        "paper-share-grows", "paper, Table 4",
        "At τ = 1 the communication fraction grows with p.",
        "Larger at each doubling.", fraction_grows,
    ),
    Claim(
        "paper-share-small", "paper, Table 4", "At τ = 10 it is small, and hardly grows with p.",
        "Less than a tenth at p = 4, 8, 16 (τ = 16), and within five points of one another.",
        fraction_small,
    ),
]  # fmt: skip
