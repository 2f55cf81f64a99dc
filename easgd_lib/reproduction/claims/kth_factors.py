"""What may be at fault in the KTH program: each factor of the ablation, judged alone."""

from easgd_lib.metrics import (
    Sample,
    below,
    communication_fraction,
    errors,
    exchange_seconds,
    images_per_second,
    sample,
    time_to_accuracy,
)
from easgd_lib.reproduction.claims.claim import Finding
from easgd_lib.reproduction.experiments import Experiment, Records
from easgd_lib.reproduction.experiments.kth import ABLATION, FIGURE_3

SMALL = 0.1  # "fairly small": at most a tenth of the time


AT_FAULT = 1.1  # at fault: it makes the run slower by a tenth at least


TARGET = 0.975  # test accuracy


def speed(records: Records, name: str, experiment: Experiment = ABLATION) -> Sample:
    """Images per second of one bar."""
    return sample(records(experiment, name), images_per_second)


def cheap_exchange(records: Records) -> Finding:
    """Whether a larger τ gains where exchanging is dear, and where it is cheap."""
    speeds = {
        scheme: [speed(records, f"{scheme}-tau{tau}", FIGURE_3) for tau in (1, 64)]
        for scheme in ("report", "easgd")
    }
    gains = {scheme: fast.mean / slow.mean for scheme, (slow, fast) in speeds.items()}
    share = sample(records(FIGURE_3, "easgd-tau1"), communication_fraction).mean
    copied = sample(records(ABLATION, "elements"), exchange_seconds).mean
    step = _step_seconds(records)
    predicted = (step + copied) / (step + copied / 64)
    return Finding(
        {
            f"images/s, {scheme}, τ = {tau}": each.values
            for scheme, both in speeds.items()
            for tau, each in zip((1, 64), both, strict=True)
        },
        [
            below(*both) if gains[scheme] > AT_FAULT else min(0, below(*both))
            for scheme, both in speeds.items()
        ],
        f"From τ = 1 to 64 the report's scheme gains {gains['report'] - 1:.1%} images per second, "
        f"our exchange, which takes {share:.1%} of the time at τ = 1, {gains['easgd'] - 1:.1%}. "
        f"With floats copied one by one ({copied:.1f} s an exchange, {1e3 * step:.0f} ms a step) "
        f"the gain would be {predicted:.0f} times.",
    )


def _step_seconds(records: Records) -> float:
    """One worker's step of the report's program, its exchanges left out."""
    runs = records(ABLATION, "ours")
    return sum(
        (run.time_split["compute"] + run.time_split["data"])
        / (run.images_per_second * run.seconds / run.settings.batch_size)
        for run in runs
    ) / len(runs)


def at_fault(name: str, words: str):
    """Whether one factor, alone, makes the served exchange a tenth slower.

    By the share of time that exchanges take in either run: a machine whose cores are now faster,
    now slower, does not change that.
    """

    def judge(records: Records) -> Finding:
        clean, factor = (
            sample(records(ABLATION, each), communication_fraction) for each in ("server", name)
        )
        slower = (1 - clean.mean) / (1 - factor.mean)
        seconds = [
            sample(records(ABLATION, each), exchange_seconds).mean for each in ("server", name)
        ]
        return Finding(
            {"share of exchanges, server": clean.values, f"with {name}": factor.values},
            [1 if slower > AT_FAULT else -1],
            f"{words} Two workers at τ = 4 take {slower:.2f} times as long by it: an exchange "
            f"takes {_duration(seconds[1])} instead of {_duration(seconds[0])}, waiting included.",
        )

    return judge


def root_computes(records: Records) -> Finding:
    """It takes cores, not only time in exchanges: judged by images per second."""
    clean, factor = speed(records, "server"), speed(records, "root-computes")
    slower = clean.mean / factor.mean
    return Finding(
        {"images/s, server": clean.values, "images/s, root-computes": factor.values},
        [below(factor, clean) if slower > AT_FAULT else min(0, below(factor, clean))],
        f"On two cores a server that computes takes them from its workers: {slower:.2f} times "
        f"slower. On a machine with a core for the server it would cost less.",
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds > 0.1 else f"{1e3 * seconds:.1f} ms"


def waiting(records: Records) -> Finding:
    """Which part of their time workers exchange, or wait to."""
    runs = {
        "the report's scheme, τ = 1": records(FIGURE_3, "report-tau1"),
        "τ = 4": records(FIGURE_3, "report-tau4"),
        "τ = 4, four workers on two cores": records(ABLATION, "four-report"),
        "τ = 4, all of it": records(ABLATION, "all"),
    }
    shares = {name: sample(each, communication_fraction) for name, each in runs.items()}
    return Finding(
        {f"share, {name}": each.values for name, each in shares.items()},
        [1 if each.mean < SMALL else -1 for each in shares.values()],
        "The workers' share of time in exchanges, waiting included: "
        + ", ".join(f"{name} {each.mean:.1%}" for name, each in shares.items())
        + ". (Copying floats is a worker's own time as well as the server's.)",
    )


def threads(records: Records) -> Finding:
    """A thread for each worker against all threads for one; and more threads than cores."""
    one, both = (
        speed(records, "sgd-one-thread", FIGURE_3),
        speed(records, "sgd-all-cores", FIGURE_3),
    )
    apart, crowded = speed(records, "ours"), speed(records, "threads")
    return Finding(
        {
            "images/s, SGD, one thread": one.values,
            "images/s, SGD, two threads": both.values,
            "images/s, two workers, one thread each": apart.values,
            "images/s, two workers, two threads each": crowded.values,
        },
        [below(apart, both), 1 if apart.mean / crowded.mean > AT_FAULT else -1],
        f"Two threads make SGD {both.mean / one.mean:.2f} times faster than one; two workers with "
        f"a thread each see {apart.mean / both.mean:.2f} times the images of SGD with two: sharing "
        f"threads out is no disadvantage. Not sharing them is: with two threads each, four on two "
        f"cores, they are {apart.mean / crowded.mean:.1f} times slower.",
    )


def too_easy(records: Records) -> Finding:
    """MNIST against Fashion-MNIST."""
    digits = [errors(records(ABLATION, name)) for name in ("ours", "sgd")]
    clothes = [errors(records(ABLATION, name)) for name in ("clothes", "clothes-sgd")]
    return Finding(
        {
            "MNIST, EASGD": digits[0].values,
            "MNIST, SGD": digits[1].values,
            "Fashion-MNIST, EASGD": clothes[0].values,
            "Fashion-MNIST, SGD": clothes[1].values,
        },
        [below(*clothes)],
        f"On harder images, in the same eight seconds at η = .01, SGD's test error is "
        f"{clothes[1].mean:.2%}, EASGD's {clothes[0].mean:.2%} (MNIST: {digits[1].mean:.2%} and "
        f"{digits[0].mean:.2%}).",
    )


def momentum(records: Records) -> Finding:
    """Time to accuracy, with and without momentum."""
    names = {"momentum": "EAMSGD", "ours": "EASGD", "sgd": "SGD",
             "sgd-twice": "SGD, twice the batch", "msgd": "MSGD",
             "msgd-twice": "MSGD, twice the batch"}  # fmt: skip
    times = {
        name: sample(records(ABLATION, name), lambda run: time_to_accuracy(run, TARGET))
        for name in names
    }
    return Finding(
        {f"seconds to {TARGET:.1%}, {names[name]}": each.values for name, each in times.items()},
        [below(times["momentum"], times[rival]) for rival in names if rival != "momentum"],
        f"Seconds to a test accuracy of {TARGET:.1%}, two cores each: "
        + ", ".join(f"{names[name]} {_seconds_exactly(each)}" for name, each in times.items())
        + ". MSGD is the fair rival: it has the momentum too, and the same cores.",
    )


def _seconds_exactly(found: Sample) -> str:
    return f"{found.mean:.1f}" if found.mean < float("inf") else "not in every run"


def worse(name: str, words: str):
    """Whether one factor, alone, costs test accuracy at equal seconds."""

    def judge(records: Records) -> Finding:
        clean, factor = (errors(records(ABLATION, each)) for each in ("ours", name))
        return Finding(
            {"test error, ours": clean.values, f"test error, {name}": factor.values},
            [below(clean, factor)],
            f"{words} Test error of the center after eight seconds: {factor.mean:.2%} instead of "
            f"{clean.mean:.2%}.",
        )

    return judge


def report_scheme(records: Records) -> Finding:
    """The scheme (order and messages), by itself and with its floats copied one by one."""
    speeds = {
        f"{scheme}, τ = {tau}": speed(records, f"{scheme}-tau{tau}", FIGURE_3)
        for tau in (1, 4)
        for scheme in ("easgd", "report")
    } | {name: speed(records, name) for name in ("ours", "elements", "all")}
    slower = {
        "at τ = 1": speeds["easgd, τ = 1"].mean / speeds["report, τ = 1"].mean,
        "at τ = 4": speeds["easgd, τ = 4"].mean / speeds["report, τ = 4"].mean,
        "with floats copied one by one": speeds["ours"].mean / speeds["elements"].mean,
        "with all of it": speeds["ours"].mean / speeds["all"].mean,
    }
    return Finding(
        {f"images/s, {name}": each.values for name, each in speeds.items()},
        [1 if each > AT_FAULT else -1 for each in slower.values()],
        "Against a vector in shared memory the report's exchange makes two workers slower: "
        + ", ".join(f"{each:.2f} times {name}" for name, each in slower.items())
        + ".",
    )
