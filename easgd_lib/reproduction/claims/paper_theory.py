"""The paper's claims about stability, error and algorithms: judged by theory, from no record."""

import numpy as np

from easgd_lib import theory
from easgd_lib.method import rules
from easgd_lib.reproduction.claims.claim import Finding
from easgd_lib.reproduction.experiments import Records


def admm(records: Records) -> Finding:
    """The spectral radii of a round of ADMM, and of each of its maps."""
    eta, rho = np.linspace(0.0002, 0.01, 50), np.linspace(0.25, 10, 40)
    bars = {3: (0.990, 1.001), 8: (0.990, 1.003)}  # the ends of the paper's color bars
    radii = {p: theory.admm_round_robin_radius(p, eta[:, None], rho) for p in bars}
    ends = {p: (float(r.min()), float(r.max())) for p, r in radii.items()}
    star = {p: float(theory.admm_round_robin_radius(p, 0.001, 2.5)) for p in bars}
    single = max(
        float(theory.spectral_radius(theory.admm_worker_map(i, p, 0.001, 2.5)))
        for p in bars
        for i in range(p)
    )
    near = [abs(ends[p][k] - bars[p][k]) < 5e-4 for p in bars for k in (0, 1)]
    unstable = [star[p] > 1 for p in bars]
    return Finding(
        {f"p = {p}, {end}": [ends[p][k]] for p in bars for k, end in enumerate(("least", "most"))}
        | {f"p = {p} at η = .001, ρ = 2.5": [star[p]] for p in bars},
        [1 if each else -1 for each in [*near, *unstable, single < 1 + 1e-9]],
        f"Each single map of ADMM is stable, a round of them need not be: its spectral radius at "
        f"η = .001, ρ = 2.5 is {star[3]:.6f} for p = 3 and {star[8]:.6f} for p = 8.",
    )


def triangle(records: Records) -> Finding:
    """α ≤ (4 − 2η)/(4 − η), for every p."""
    eta = np.linspace(0.05, 1.95, 20)
    edge = (4 - 2 * eta) / (4 - eta)
    inside = max(
        float(theory.easgd_round_robin_radius(p, e, 0.999 * a))
        for p in (1, 2, 3, 8)
        for e, a in zip(eta, edge, strict=True)
    )
    return Finding(
        {"largest radius inside, p = 1, 2, 3, 8": [inside]},
        [1 if inside <= 1 + 1e-9 else -1],
        f"Just inside the paper's region, on {len(eta)} values of η, no round of EASGD grows: the "
        f"largest spectral radius is {inside:.6f}, whatever p. (ADMM's depends on p.)",
    )


def corollary(records: Records) -> Finding:
    """The center's variance as p grows, against its limit."""
    eta, beta, sigma, sizes = 0.5, 0.9, 10.0, (100, 1_000, 10_000, 10**6)
    exact = {
        p: p * float(theory.center_variance(np.inf, p, eta, beta / p, sigma=sigma)) for p in sizes
    }
    limit = float(theory.asymptotic_mse(eta, beta, sigma=sigma))
    smaller = [float(theory.asymptotic_mse(eta, b, sigma=sigma)) for b in (0.1, 0.5, 0.9)]
    off = [abs(each / limit - 1) for each in exact.values()]
    return Finding(
        {f"p · MSE, p = {p}": [each] for p, each in exact.items()} | {"Corollary 7.1": [limit]},
        [
            1 if off == sorted(off, reverse=True) and off[-1] < 1e-4 else -1,
            1 if smaller == sorted(smaller) else -1,
        ],
        f"η = .5, β = .9, σ = 10: p times the center's stationary variance is {exact[100]:.2f} "
        f"with a hundred workers, {exact[10**6]:.4f} with a million, {limit:.4f} in the limit; "
        f"with β = .1, .5, .9 the limit is {smaller[0]:.2f}, {smaller[1]:.2f}, {smaller[2]:.2f}.",
    )


def misprint(records: Records) -> Finding:
    """Algorithm 5 as printed: v ← δv − ηg; x̃ ← x̃ + δv. Does it descend without momentum?"""
    center, velocity = 1.0, 0.0
    for _ in range(100):
        velocity = 0.0 * velocity - 0.1 * center
        center = center + 0.0 * velocity
    fixed, velocity = 1.0, 0.0
    for _ in range(100):
        fixed, velocity = rules.mdownpour_server(fixed, velocity, -0.1 * fixed, 0.0)
    return Finding(
        {"x̃ as printed": [center], "x̃ with −ηg": [fixed]},
        [1 if abs(center) < 0.5 else -1],
        f"On x²/2 from 1, η = .1, δ = 0: after 100 pushes the printed master is still at "
        f"{center:g}, with −ηg added at {fixed:.0e}. Probably a misprint (with δ = .99 it is "
        f"nearly a heavy ball); the fixed rule is used here.",
    )
