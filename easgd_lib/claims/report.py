"""The report's claims, and everything that it, or a look at its program, suspects."""

from easgd_lib import models
from easgd_lib.claims import Claim, Finding
from easgd_lib.experiments import Experiment, Records
from easgd_lib.experiments.paper import BY_ALPHA, BY_ORDER, NINETY_NINE
from easgd_lib.experiments.report import FIGURE_3, PERIODS, SUSPECTS
from easgd_lib.measures import (
    Sample,
    below,
    each_below,
    exchange_seconds,
    exchanging,
    images_per_second,
    sample,
    seconds_to,
    test_error,
    train_error,
)
from easgd_lib.records import Run
from easgd_lib.settings import Settings

SMALL = 0.1  # "fairly small": at most a tenth of the time
AT_FAULT = 1.1  # at fault: it makes the run slower by a tenth at least
REPORTED_PARAMETERS = 4_866_100
# Order of the updates in each figure of the paper that shows a training curve.
PAPER_FIGURES = {2: "asynchronous", 3: "asynchronous", 4: "asynchronous", 6: "sequential",
                 7: "sequential", 8: "asynchronous", 9: "asynchronous", 10: "asynchronous",
                 11: "asynchronous"}  # fmt: skip


def _speed(records: Records, name: str, experiment: Experiment = SUSPECTS) -> Sample:
    return sample(records(experiment, name), images_per_second)


def _parameters(records: Records) -> Finding:
    network = models.build(seed=0)
    size = sum(parameter.numel() for parameter in network.parameters())
    return Finding(
        {"parameters": [size]},
        [1 if size == REPORTED_PARAMETERS else -1],
        f"Counted in the network: {size:,} = 780 + 30,040 + 80 + 448,700 + 7,010. The report's "
        f"{REPORTED_PARAMETERS} has one zero too many.",
    )


def _ninety_nine(records: Records) -> Finding:
    times = {name: sample(records(NINETY_NINE, name), _to_99) for name in ("sgd", "msgd")}
    return Finding(
        {f"seconds to 99 %, {name}": each.values for name, each in times.items()},
        [1 if each.mean < 300 else -1 for each in times.values()],
        f"One worker, batches of 32: SGD needs {_seconds(times['sgd'])}, with momentum "
        f"{_seconds(times['msgd'])} (virtual: one core, no evaluation).",
    )


def _to_99(run: Run) -> float:
    return seconds_to(run, 0.99)


def _seconds(found: Sample) -> str:
    return f"{found.mean:.0f} s" if found.mean < float("inf") else "longer than we ran"


def _sgd_ahead(measure, words: str):
    def judge(records: Records) -> Finding:
        sgd = sample(records(FIGURE_3, "sgd-all-cores"), measure)
        theirs = {
            name: sample(records(FIGURE_3, name), measure)
            for scheme in ("report", "easgd")
            for name in (f"{scheme}-tau{tau}" for tau in PERIODS)
        }
        best = min(theirs.values(), key=lambda each: each.mean)
        return Finding(
            {"sgd": sgd.values} | {name: each.values for name, each in theirs.items()},
            [below(sgd, each) for each in theirs.values()],
            f"{words}: SGD with the same two cores {sgd.mean:.2%}, the best of EASGD's centers "
            f"{best.mean:.2%}. Not for the exchange's sake: an exchange conserves the sum of "
            f"center and workers, so p gradients carry p + 1 vectors and a tight bundle descends "
            f"with ηp/(p + 1), two thirds of SGD's rate; at η = .01 lower noise is worth nothing.",
        )

    return judge


def _train_loss(run: Run) -> float:
    return run.final("train_loss")


def _larger_tau(records: Records) -> Finding:
    slow, fast = (records(FIGURE_3, f"report-tau{tau}") for tau in (1, 64))
    center = [sample(runs, train_error) for runs in (slow, fast)]
    worker = [sample(runs, lambda run: train_error(run, 0)) for runs in (slow, fast)]
    speeds = [sample(runs, images_per_second) for runs in (slow, fast)]
    return Finding(
        {
            "center's training error, τ = 1": center[0].values,
            "center's training error, τ = 64": center[1].values,
            "worker's training error, τ = 1": worker[0].values,
            "worker's training error, τ = 64": worker[1].values,
            "images/s, τ = 1": speeds[0].values,
            "images/s, τ = 64": speeds[1].values,
        },
        [below(*reversed(worker)), below(*reversed(center)), below(*speeds)],
        f"In the report's scheme τ = 64 sees {speeds[1].mean / speeds[0].mean:.2f} times the "
        f"images of τ = 1. A worker may gain by that; the center, at α = β/(pτ), is left behind: "
        f"training error {center[1].mean:.1%} against {center[0].mean:.1%}.",
    )


def _cheap_exchange(records: Records) -> Finding:
    slow, fast = (_speed(records, f"easgd-tau{tau}", FIGURE_3) for tau in (1, 64))
    costly = sample(records(SUSPECTS, "elements"), exchange_seconds).mean
    step = _step_seconds(records)
    theirs = (step + costly) / (step + costly / 64)
    gain = fast.mean / slow.mean
    return Finding(
        {"images/s, τ = 1": slow.values, "images/s, τ = 64": fast.values, "elements": [theirs]},
        [1 if theirs > AT_FAULT else -1, 1 if gain > AT_FAULT else -1],
        f"With an exchange of {costly:.2f} s, its floats copied one by one, a step of "
        f"{step * 1e3:.0f} ms gains {theirs:.0f} times from τ = 64; with ours it gains "
        f"{gain - 1:.1%}. What the report saw in τ was the price of its exchange.",
    )


def _step_seconds(records: Records) -> float:
    """One worker's step of the report's program, its exchanges left out."""
    runs = records(SUSPECTS, "ours")
    return sum(
        (run.time_split["compute"] + run.time_split["data"])
        / (run.images_per_second * run.seconds / run.settings.batch_size)
        for run in runs
    ) / len(runs)


def _larger_alpha(records: Records) -> Finding:
    from easgd_lib.experiments.paper import ALPHAS

    errors = [sample(records(BY_ALPHA, f"alpha{alpha:g}"), train_error) for alpha in ALPHAS]
    return Finding(
        {f"α = {alpha:g}": each.values for alpha, each in zip(ALPHAS, errors, strict=True)},
        each_below(errors[::-1]),
        "Training error of the center at τ = 4, p = 2: "
        + ", ".join(f"{e.mean:.2%} at α = {a:g}" for a, e in zip(ALPHAS, errors, strict=True))
        + ". A stiffer spring lets the center follow; past that it changes little.",
    )


def _in_spite_of_alpha(records: Records) -> Finding:
    found = {
        f"per {reading}, τ = {tau}": sample(
            records(BY_ALPHA, f"per-{reading}-tau{tau}"), train_error
        )
        for tau in (16, 64)
        for reading in ("exchange", "step")
    }
    values = list(found.values())
    return Finding(
        {name: each.values for name, each in found.items()},
        [below(values[0], values[1]), below(values[2], values[3])],
        f"At the same τ the larger α = β/p beats α = β/(pτ): at τ = 64 the center's training "
        f"error is {values[2].mean:.1%} against {values[3].mean:.1%}.",
    )


def _at_fault(name: str, words: str, against: str = "server"):
    """Whether one suspect, alone, makes the same exchange a tenth slower."""

    def judge(records: Records) -> Finding:
        clean, suspect = _speed(records, against), _speed(records, name)
        times = clean.mean / suspect.mean
        seconds = [
            sample(records(SUSPECTS, each), exchange_seconds).mean for each in (against, name)
        ]
        return Finding(
            {f"images/s, {against}": clean.values, f"images/s, {name}": suspect.values},
            [1 if times > AT_FAULT else -1],
            f"{words} Alone it makes two workers at τ = 4 {times:.2f} times slower; an exchange "
            f"takes {_duration(seconds[1])} instead of {_duration(seconds[0])}, waiting included.",
        )

    return judge


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds > 0.1 else f"{1e3 * seconds:.1f} ms"


def _waiting(records: Records) -> Finding:
    names = {"all": "its program as it was", "four-report": "its scheme, p = 4 on two cores",
             "lockstep": "served in rank order", "ours": "shared memory"}  # fmt: skip
    shares = {name: sample(records(SUSPECTS, name), exchanging) for name in names}
    return Finding(
        {f"share, {names[name]}": each.values for name, each in shares.items()},
        [1 if shares["all"].mean < SMALL else -1],
        "The workers' share of time in exchanges, waiting included: "
        + ", ".join(f"{names[name]} {each.mean:.1%}" for name, each in shares.items())
        + ". The claim is true of a master that sends buffers, not of one that expands tensors.",
    )


def _old_x(records: Records) -> Finding:
    variants = ("jacobi", "gauss_seidel", "step_first")
    errors = {
        f"{method}, {variant}": sample(records(BY_ORDER, f"{method}-{variant}"))
        for method in ("easgd", "eamsgd")
        for variant in variants
    }
    limits = {
        variant: [
            Settings("easgd", workers=p, alpha=0.01, variant=variant).alpha_limit
            for p in (2, 4, 8, 16)
        ]
        for variant in variants
    }
    return Finding(
        {f"error, {name}": each.values for name, each in errors.items()}
        | {f"α limit, {name}, p = 2": [each[0]] for name, each in limits.items()},
        [
            _sign(mine - theirs)
            for variant in variants[1:]
            for mine, theirs in zip(limits["jacobi"], limits[variant], strict=True)
        ],
        f"The largest stable α with two workers is {limits['jacobi'][0]:.3f} with the old x, "
        f"{limits['gauss_seidel'][0]:.3f} against the new center, {limits['step_first'][0]:.3f} "
        f"where the step comes first: the old x is no more stable than the others. Final test "
        f"errors: {', '.join(f'{name} {each.mean:.1%}' for name, each in errors.items())}. What "
        f"the old pair buys is symmetry: center and workers feel one force.",
    )


def _sign(difference: float) -> int:
    return 0 if abs(difference) < 1e-9 else (1 if difference > 0 else -1)


def _alpha_as_paper(records: Records) -> Finding:
    """The paper's EASGD does not mind τ. Under which reading of β does ours not?"""
    lags = {
        reading: [
            sample(records(BY_ALPHA, f"per-{reading}-tau{tau}"), train_error).mean
            for tau in (16, 64)
        ]
        for reading in ("step", "exchange")
    }
    calm = {reading: each[1] - each[0] < 0.02 for reading, each in lags.items()}
    return Finding(
        {f"per {reading}, τ = 16 and 64": each for reading, each in lags.items()},
        [1 if calm["step"] else -1],
        f"The paper's curves hardly depend on τ (Figs. 2 and 9). Going from τ = 16 to 64 ours lose "
        f"{lags['step'][1] - lags['step'][0]:+.1%} with α = β/(pτ) and "
        f"{lags['exchange'][1] - lags['exchange'][0]:+.1%} with α = β/p, which is what the "
        f"authors' code has at every exchange. The paper's footnote 8 speaks of an average.",
    )


def _asynchronous_unexplored(records: Records) -> Finding:
    orders = list(PAPER_FIGURES.values())
    together, apart = orders.count("synchronous"), orders.count("asynchronous")
    return Finding(
        {"figures, asynchronous": [apart], "figures, synchronous": [together]},
        [1 if together > apart else -1],
        f"Of the paper's {len(orders)} figures with training curves {apart} are asynchronous, "
        f"{together} synchronous, the rest sequential: the synchronous rule serves the theory.",
    )


def _threads(records: Records) -> Finding:
    one, both = _speed(records, "sgd-one-thread", FIGURE_3), _speed(records, "sgd")
    apart, crowded = _speed(records, "ours"), _speed(records, "threads")
    return Finding(
        {
            "images/s, SGD, one thread": one.values,
            "images/s, SGD, two threads": both.values,
            "images/s, two workers, one thread each": apart.values,
            "images/s, two workers, two threads each": crowded.values,
        },
        [below(apart, both)],
        f"Two threads make SGD {both.mean / one.mean:.2f} times faster than one; two workers with "
        f"a thread each are {apart.mean / both.mean:.2f} times faster than that. A thread each is "
        f"the better use of two cores, and two threads each, four on two cores, cost "
        f"{1 - crowded.mean / apart.mean:.0%}.",
    )


def _too_easy(records: Records) -> Finding:
    digits = [sample(records(SUSPECTS, name)) for name in ("ours", "sgd")]
    clothes = [sample(records(SUSPECTS, name)) for name in ("clothes", "clothes-sgd")]
    return Finding(
        {
            "MNIST, EASGD": digits[0].values,
            "MNIST, SGD": digits[1].values,
            "Fashion-MNIST, EASGD": clothes[0].values,
            "Fashion-MNIST, SGD": clothes[1].values,
        },
        [below(*clothes)],
        f"On harder images, at the same seconds, SGD's test error is {clothes[1].mean:.2%}, "
        f"EASGD's {clothes[0].mean:.2%} (MNIST: {digits[1].mean:.2%}, {digits[0].mean:.2%}). "
        f"Harder images alone do not turn the order round.",
    )


LEVEL = 0.95


def _momentum(records: Records) -> Finding:
    names = {"momentum": "EAMSGD", "ours": "EASGD", "sgd": "SGD",
             "sgd-twice": "SGD, twice the batch", "msgd": "MSGD",
             "msgd-twice": "MSGD, twice the batch"}  # fmt: skip
    times = {
        name: sample(records(SUSPECTS, name), lambda run: seconds_to(run, LEVEL)) for name in names
    }
    return Finding(
        {f"seconds to {LEVEL:.0%}, {names[name]}": each.values for name, each in times.items()},
        [below(times["momentum"], times[rival]) for rival in names if rival != "momentum"],
        f"Seconds to a test accuracy of {LEVEL:.0%}, two cores each: "
        + ", ".join(f"{names[name]} {_seconds_exactly(each)}" for name, each in times.items())
        + ". Most of the gain over SGD is momentum's own: MSGD alone has it too.",
    )


def _seconds_exactly(found: Sample) -> str:
    return f"{found.mean:.1f}" if found.mean < float("inf") else "not in the time given"


def _worse(name: str, words: str):
    """Whether one suspect, alone, costs test accuracy at equal seconds."""

    def judge(records: Records) -> Finding:
        clean, suspect = (sample(records(SUSPECTS, each)) for each in ("ours", name))
        return Finding(
            {"test error, ours": clean.values, f"test error, {name}": suspect.values},
            [below(clean, suspect)],
            f"{words} Test error of the center at equal seconds: {suspect.mean:.2%} instead of "
            f"{clean.mean:.2%}.",
        )

    return judge


def _report_scheme(records: Records) -> Finding:
    ours, all_of_it = _speed(records, "ours"), _speed(records, "all")
    errors = [sample(records(SUSPECTS, name)) for name in ("ours", "all")]
    exchange = sample(records(SUSPECTS, "all"), exchange_seconds)
    return Finding(
        {
            "images/s, ours": ours.values,
            "images/s, the report's program": all_of_it.values,
            "test error, ours": errors[0].values,
            "test error, the report's program": errors[1].values,
            "seconds per exchange, the report's program": exchange.values,
        },
        [1 if ours.mean / all_of_it.mean > AT_FAULT else -1],
        f"Everything the report's program does, switched on together, makes two workers "
        f"{ours.mean / all_of_it.mean:.0f} times slower: an exchange takes {exchange.mean:.1f} s.",
    )


CLAIMS = [
    Claim(
        "report-parameters", "report, section 2.3", "The network has 4866100 parameters.",
        "The network counted has 4,866,100.", _parameters, "easgd draw",
    ),
    Claim(
        "report-99-percent", "report, Discussion",
        "The model has an accuracy of 99 % on the unseen test set after a few minutes.",
        "99 % within 300 s, with and without momentum.", _ninety_nine,
    ),
    Claim(
        "report-sgd-ahead", "report, Figure 3 and Results",
        "For a given wall-clock time SGD offers better training accuracy than asynchronous EASGD.",
        "SGD's training error is below that of the center, for each τ, in both exchange schemes.",
        _sgd_ahead(train_error, "Training error at the end"),
    ),
    Claim(
        "report-sgd-ahead-test", "report, Results", "Similar results occur for test data.",
        "The same order of test errors.", _sgd_ahead(test_error, "Test error at the end"),
    ),
    Claim(
        "report-sgd-ahead-loss", "report, Results", "Similar results are shown for training loss.",
        "The same order of training losses.", _sgd_ahead(_train_loss, "Training loss at the end"),
    ),
    Claim(
        "report-larger-tau", "report, Figure 3 and Results",
        "The wall-clock time is better with a higher τ.",
        "In the report's scheme τ = 64 beats τ = 1: the worker's training error, the center's, "
        "images per second.", _larger_tau,
    ),
    Claim(
        "report-tau-saves-communication", "report, Results",
        "A higher τ helps because it has fewer communication steps.",
        "τ = 64 is a tenth faster than τ = 1, with the report's exchange and with ours.",
        _cheap_exchange,
    ),
    Claim(
        "report-larger-alpha", "report, Results",
        "A higher α, for a constant number of workers and τ, is actually advantageous.",
        "The center's training error falls at each step up in α.", _larger_alpha,
    ),
    Claim(
        "report-in-spite-of-alpha", "report, Results",
        "A higher τ is better in spite of its lower α, not because of it.",
        "At τ = 16 and 64 α = β/p ends lower than α = β/(pτ).", _in_spite_of_alpha,
    ),
    Claim(
        "report-program", "report, Discussion",
        "The communication scheme proposed is somewhat ineffective.",
        "All of the report's program together is a tenth slower than ours.", _report_scheme,
    ),
    Claim(
        "report-layers", "report, Discussion (suspect)",
        "The communication sends the parameters layer by layer, rather than all at once.",
        "At fault: a tenth slower, alone.", _at_fault("layers", "Ten messages instead of one."),
    ),
    Claim(
        "report-elements", "report, section 3 (suspect)",
        "The center is accumulated by expanding the tensors into float objects.",
        "At fault: a tenth slower, alone.",
        _at_fault("elements", "486,610 floats copied one at a time."),
    ),
    Claim(
        "report-lockstep", "report's program (suspect)",
        "The master serves its workers in rank order, in lockstep.",
        "At fault: a tenth slower, alone.", _at_fault("lockstep", "Nobody may overtake."),
    ),
    Claim(
        "report-root-computes", "report's program (suspect)",
        "The master runs forward passes itself, one for each of a worker's steps.",
        "At fault: a tenth slower, alone.",
        _at_fault("root-computes", "On two cores the master's work is taken from the workers."),
    ),
    Claim(
        "report-waiting", "report, section 2.3",
        "The time workers wait for the master process is fairly small.",
        "At most a tenth of the time, in the report's program.", _waiting,
    ),
    Claim(
        "report-threads", "report, Discussion (suspect)",
        "Sequential code uses 250 % of the CPU, each parallel process 125 %: a disadvantage.",
        "Two workers with a thread each see fewer images than SGD with two.", _threads,
    ),
    Claim(
        "report-own-start", "report's program (suspect); paper, footnote 7",
        "Every process draws its own initial weights. (The paper: all must start together.)",
        "At fault: the center's test error is larger.",
        _worse("own-start", "The mean of two networks that started apart is no network."),
    ),
    Claim(
        "report-same-digits", "report's program (suspect)",
        "Nothing makes the workers' batches differ.",
        "At fault: the center's test error is larger.",
        _worse("same-digits", "Workers with the same batches agree, and average nothing away."),
    ),
    Claim(
        "report-alpha-cost", "report, Results (suspect)", "α is set to β/(pτ).",
        "At fault: the center's test error is larger than with β/p.",
        _worse("alpha", "At τ = 4 the spring is four times softer."),
    ),
    Claim(
        "report-too-easy", "report, Discussion (suspect)",
        "MNIST might be too elementary for parallelization gains to be evident.",
        "On Fashion-MNIST EASGD's test error is below SGD's at equal seconds.", _too_easy,
    ),
    Claim(
        "report-eamsgd", "report, Discussion",
        "The significant speed-up is found with EAMSGD.",
        f"EAMSGD reaches {LEVEL:.0%} before EASGD, SGD, MSGD, and both with twice the batch.",
        _momentum,
    ),
    Claim(
        "report-old-x", "report, section 2.2",
        "The updates are calculated with the older x for stability.",
        "The old pair allows a larger α than the new center or the x after the step, p = 2 … 16.",
        _old_x,
    ),
    Claim(
        "report-alpha-as-paper", "report, Results", "α = β/(pτ), as is done in the paper.",
        "With it τ = 16 → 64 costs less than two points of training error, as in the paper.",
        _alpha_as_paper,
    ),
    Claim(
        "report-asynchronous-unexplored", "report, section 2.2",
        "The asynchronous variant was not explored as much as the synchronous one in the paper.",
        "More of the paper's training figures are synchronous than asynchronous.",
        _asynchronous_unexplored, "easgd draw",
    ),
]  # fmt: skip
