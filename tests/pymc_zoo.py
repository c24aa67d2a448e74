"""PyMC models that translations are checked with: ``ZOO`` has a function that builds each by its name."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt

ZOO = {}


def zoo(build):
    ZOO[build.__name__] = build
    return build


def R(seed):
    return np.random.default_rng(seed)


@zoo
def schools_centered():
    y = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
    s = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])
    with pm.Model() as m:
        mu = pm.Normal("mu", 0, 5)
        tau = pm.HalfCauchy("tau", 5)
        th = pm.Normal("th", mu, tau, shape=8)
        pm.Normal("y", th, s, observed=y)
    return m


@zoo
def schools_noncentered():
    y = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
    s = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])
    with pm.Model() as m:
        mu = pm.Normal("mu", 0, 5)
        tau = pm.HalfCauchy("tau", 5)
        e = pm.Normal("e", 0, 1, shape=8)
        th = pm.Deterministic("th", mu + tau * e)
        pm.Normal("y", th, s, observed=y)
    return m


@zoo
def logistic():
    r = R(1)
    X = r.normal(size=(1000, 50))
    b = r.normal(size=50) * 0.3
    y = (r.random(1000) < 1 / (1 + np.exp(-X @ b))).astype(int)
    with pm.Model() as m:
        beta = pm.Normal("beta", 0, 1, shape=50)
        pm.Bernoulli("y", logit_p=X @ beta, observed=y)
    return m


@zoo
def logistic_data():
    r = R(1)
    X = r.normal(size=(1000, 50))
    b = r.normal(size=50) * 0.3
    y = (r.random(1000) < 1 / (1 + np.exp(-X @ b))).astype(int)
    with pm.Model() as m:
        X_ = pm.Data("X", X)
        y_ = pm.Data("yy", y)
        beta = pm.Normal("beta", 0, 1, shape=50)
        pm.Bernoulli("y", logit_p=pm.math.dot(X_, beta), observed=y_)
    return m


@zoo
def logistic_p():
    r = R(1)
    X = r.normal(size=(200, 5))
    y = r.integers(0, 2, 200)
    with pm.Model() as m:
        a = pm.Normal("a", 0, 1)
        beta = pm.Normal("beta", 0, 1, shape=5)
        pm.Bernoulli("y", p=pm.math.sigmoid(a + X @ beta), observed=y)
    return m


@zoo
def linear():
    r = R(2)
    X = r.normal(size=(200, 5))
    y = X @ np.arange(5.0) + r.normal(size=200)
    with pm.Model() as m:
        a = pm.Normal("a", 0, 10)
        b = pm.Normal("b", 0, 10, shape=5)
        s = pm.HalfNormal("s", 1)
        pm.Normal("y", a + X @ b, s, observed=y)
    return m


@zoo
def radon():
    r = R(3)
    J, n = 85, 919
    county = np.sort(r.integers(0, J, n))
    floor = r.integers(0, 2, n).astype(float)
    y = r.normal(size=n)
    with pm.Model() as m:
        mua = pm.Normal("mua", 0, 1)
        sa = pm.Exponential("sa", 1)
        mub = pm.Normal("mub", 0, 1)
        sb = pm.Exponential("sb", 1)
        a = pm.Normal("a", mua, sa, shape=J)
        b = pm.Normal("b", mub, sb, shape=J)
        e = pm.Exponential("e", 1)
        pm.Normal("y", a[county] + b[county] * floor, e, observed=y)
    return m


@zoo
def radon_nc_data():
    r = R(3)
    J, n = 85, 919
    county = np.sort(r.integers(0, J, n))
    floor = r.integers(0, 2, n).astype(float)
    y = r.normal(size=n)
    with pm.Model() as m:
        c = pm.Data("c", county)
        x = pm.Data("x", floor)
        mua = pm.Normal("mua", 0, 1)
        sa = pm.HalfNormal("sa", 1)
        za = pm.Normal("za", 0, 1, shape=J)
        mub = pm.Normal("mub", 0, 1)
        sb = pm.HalfNormal("sb", 1)
        zb = pm.Normal("zb", 0, 1, shape=J)
        a = mua + sa * za
        b = mub + sb * zb
        e = pm.HalfNormal("e", 1)
        pm.Normal("y", a[c] + b[c] * x, e, observed=y)
    return m


@zoo
def negbin():
    r = R(4)
    X = r.normal(size=(200, 3))
    y = r.poisson(3, 200)
    with pm.Model() as m:
        a = pm.Normal("a", 0, 1)
        b = pm.Normal("b", 0, 1, shape=3)
        al = pm.Gamma("al", 2, 1)
        pm.NegativeBinomial("y", mu=pm.math.exp(a + X @ b), alpha=al, observed=y)
    return m


@zoo
def poisson_offset():
    r = R(5)
    X = r.normal(size=(200, 4))
    off = r.normal(size=200)
    y = r.poisson(2, 200)
    with pm.Model() as m:
        a = pm.Normal("a", 0, 2)
        b = pm.Normal("b", 0, 1, shape=4)
        pm.Poisson("y", pm.math.exp(a + X @ b + off), observed=y)
    return m


@zoo
def student_t():
    r = R(6)
    x = r.normal(size=100)
    y = 1 + 2 * x + r.standard_t(3, 100)
    with pm.Model() as m:
        a = pm.Normal("a", 0, 5)
        b = pm.Normal("b", 0, 5)
        s = pm.HalfCauchy("s", 2)
        nu = pm.Gamma("nu", 2, 0.1)
        pm.StudentT("y", nu=nu, mu=a + b * x, sigma=s, observed=y)
    return m


@zoo
def ordered_logistic():
    r = R(7)
    x = r.normal(size=150)
    y = r.integers(0, 4, 150)
    with pm.Model() as m:
        b = pm.Normal("b", 0, 1)
        c = pm.Normal("c", 0, 2, shape=3, transform=pm.distributions.transforms.ordered, initval=[-1.0, 0, 1])
        pm.OrderedLogistic("y", eta=b * x, cutpoints=c, observed=y)
    return m


@zoo
def normal_mixture():
    r = R(8)
    y = np.r_[r.normal(-2, 1, 100), r.normal(2, 0.5, 100)]
    with pm.Model() as m:
        w = pm.Dirichlet("w", np.ones(3))
        mu = pm.Normal("mu", 0, 3, shape=3)
        s = pm.HalfNormal("s", 1, shape=3)
        pm.NormalMixture("y", w=w, mu=mu, sigma=s, observed=y)
    return m


@zoo
def mixture_two():
    r = R(8)
    y = np.abs(r.normal(size=150)) + 0.1
    with pm.Model() as m:
        w = pm.Beta("w", 2, 2)
        mu = pm.Normal("mu", 0, 1)
        s = pm.HalfNormal("s", 1)
        pm.Mixture(
            "y", w=pt.stack([w, 1 - w]), comp_dists=[pm.LogNormal.dist(mu, s), pm.Exponential.dist(1.0)], observed=y
        )
    return m


@zoo
def zip_():
    r = R(9)
    y = r.poisson(2, 150) * r.integers(0, 2, 150)
    with pm.Model() as m:
        psi = pm.Beta("psi", 1, 1)
        mu = pm.Gamma("mu", 2, 1)
        pm.ZeroInflatedPoisson("y", psi=psi, mu=mu, observed=y)
    return m


@zoo
def zip_regression():
    r = R(9)
    x = r.normal(size=150)
    y = r.poisson(2, 150) * r.integers(0, 2, 150)
    with pm.Model() as m:
        psi = pm.Beta("psi", 1, 1)
        a = pm.Normal("a")
        b = pm.Normal("b")
        pm.ZeroInflatedPoisson("y", psi=psi, mu=pm.math.exp(a + b * x), observed=y)
    return m


@zoo
def beta_binomial():
    r = R(10)
    n = r.integers(5, 30, 40)
    y = r.binomial(n, 0.3)
    with pm.Model() as m:
        a = pm.HalfNormal("a", 5)
        b = pm.HalfNormal("b", 5)
        pm.BetaBinomial("y", a, b, n, observed=y)
    return m


@zoo
def binomial_hier():
    r = R(10)
    n = r.integers(5, 30, 40)
    y = r.binomial(n, 0.3)
    with pm.Model() as m:
        mu = pm.Normal("mu")
        s = pm.HalfNormal("s")
        t = pm.Normal("t", mu, s, shape=40)
        pm.Binomial("y", n=n, logit_p=t, observed=y)
    return m


@zoo
def stoch_vol():
    r = R(11)
    y = r.standard_t(5, 400) * 0.02
    with pm.Model() as m:
        step = pm.Exponential("step", 10)
        nu = pm.Exponential("nu", 0.1)
        h = pm.GaussianRandomWalk("h", sigma=step, shape=400, init_dist=pm.Normal.dist(0, 100))
        pm.StudentT("y", nu=nu, sigma=pm.math.exp(h), observed=y)
    return m


@zoo
def walk_noncentered():
    r = R(11)
    y = np.cumsum(r.normal(size=200)) * 0.1
    with pm.Model() as m:
        s = pm.HalfNormal("s", 1)
        z = pm.Normal("z", 0, 1, shape=200)
        pm.Normal("y", s * pt.cumsum(z), 0.3, observed=y)
    return m


@zoo
def ar2():
    r = R(12)
    y = np.cumsum(r.normal(size=100)) * 0.3
    with pm.Model() as m:
        rho = pm.Normal("rho", 0, 0.5, shape=3)
        s = pm.HalfNormal("s", 1)
        pm.AR("y", rho=rho, sigma=s, constant=True, init_dist=pm.Normal.dist(0, 10), observed=y)
    return m


@zoo
def horseshoe():
    r = R(13)
    X = r.normal(size=(100, 20))
    y = X[:, 0] + r.normal(size=100)
    with pm.Model() as m:
        tau = pm.HalfCauchy("tau", 1)
        lam = pm.HalfCauchy("lam", 1, shape=20)
        zb = pm.Normal("zb", 0, 1, shape=20)
        s = pm.HalfNormal("s", 1)
        pm.Normal("y", X @ (zb * tau * lam), s, observed=y)
    return m


@zoo
def softmax_regression():
    r = R(14)
    X = r.normal(size=(200, 5))
    y = r.integers(0, 3, 200)
    with pm.Model() as m:
        b = pm.Normal("b", 0, 1, shape=(5, 3))
        a = pm.Normal("a", 0, 1, shape=3)
        pm.Categorical("y", logit_p=a + X @ b, observed=y)
    return m


@zoo
def softmax_p():
    r = R(14)
    X = r.normal(size=(200, 5))
    y = r.integers(0, 3, 200)
    with pm.Model() as m:
        b = pm.Normal("b", 0, 1, shape=(5, 3))
        pm.Categorical("y", p=pm.math.softmax(X @ b, axis=1), observed=y)
    return m


@zoo
def dirichlet_multinomial():
    r = R(15)
    y = r.multinomial(50, [0.2, 0.3, 0.5], 20)
    with pm.Model() as m:
        p = pm.Dirichlet("p", np.ones(3))
        c = pm.HalfNormal("c", 10)
        pm.DirichletMultinomial("y", n=50, a=p * c, observed=y)
    return m


@zoo
def multinomial():
    r = R(15)
    y = r.multinomial(50, [0.2, 0.3, 0.5])
    with pm.Model() as m:
        p = pm.Dirichlet("p", np.ones(3))
        pm.Multinomial("y", n=50, p=p, observed=y)
    return m


@zoo
def lkj_mvnormal():
    r = R(16)
    y = r.normal(size=(50, 3))
    with pm.Model() as m:
        chol, _, _ = pm.LKJCholeskyCov("chol", n=3, eta=2, sd_dist=pm.Exponential.dist(1.0))
        mu = pm.Normal("mu", 0, 1, shape=3)
        pm.MvNormal("y", mu, chol=chol, observed=y)
    return m


@zoo
def lkj_slopes():
    r = R(16)
    J = 20
    g = r.integers(0, J, 200)
    x = r.normal(size=200)
    y = r.normal(size=200)
    with pm.Model() as m:
        chol, _, _ = pm.LKJCholeskyCov("chol", n=2, eta=2, sd_dist=pm.Exponential.dist(1.0))
        z = pm.Normal("z", 0, 1, shape=(2, J))
        ab = pt.dot(chol, z).T
        mu = pm.Normal("mu", 0, 2, shape=2)
        s = pm.Exponential("s", 1)
        pm.Normal("y", mu[0] + ab[g, 0] + (mu[1] + ab[g, 1]) * x, s, observed=y)
    return m


@zoo
def gp_marginal():
    r = R(17)
    X = np.linspace(0, 3, 30)[:, None]
    y = np.sin(X[:, 0]) + 0.1 * r.normal(size=30)
    with pm.Model() as m:
        ell = pm.Gamma("ell", 2, 1)
        eta = pm.HalfNormal("eta", 2)
        s = pm.HalfNormal("s", 1)
        gp = pm.gp.Marginal(cov_func=eta**2 * pm.gp.cov.ExpQuad(1, ell))
        gp.marginal_likelihood("y", X=X, y=y, sigma=s)
    return m


@zoo
def gp_latent10():
    r = R(17)
    X = np.linspace(0, 3, 10)[:, None]
    y = r.poisson(2, 10)
    with pm.Model() as m:
        ell = pm.Gamma("ell", 2, 1)
        eta = pm.HalfNormal("eta", 2)
        gp = pm.gp.Latent(cov_func=eta**2 * pm.gp.cov.Matern52(1, ell))
        f = gp.prior("f", X=X)
        pm.Poisson("y", pm.math.exp(f), observed=y)
    return m


@zoo
def hsgp():
    r = R(17)
    X = np.linspace(0, 3, 100)[:, None]
    y = np.sin(X[:, 0]) + 0.1 * r.normal(size=100)
    with pm.Model() as m:
        ell = pm.Gamma("ell", 2, 1)
        eta = pm.HalfNormal("eta", 2)
        s = pm.HalfNormal("s", 1)
        gp = pm.gp.HSGP(m=[20], c=1.5, cov_func=eta**2 * pm.gp.cov.ExpQuad(1, ell))
        f = gp.prior("f", X=X)
        pm.Normal("y", f, s, observed=y)
    return m


@zoo
def weibull_censored():
    r = R(18)
    t = r.weibull(1.5, 80) * 3
    c = np.minimum(t, 4.0)
    with pm.Model() as m:
        a = pm.HalfNormal("a", 2)
        b = pm.HalfNormal("b", 5)
        pm.Censored("y", pm.Weibull.dist(a, b), lower=None, upper=4.0, observed=c)
    return m


@zoo
def normal_censored():
    r = R(18)
    t = r.normal(size=80)
    c = np.clip(t, -0.5, 1.0)
    with pm.Model() as m:
        mu = pm.Normal("mu")
        s = pm.HalfNormal("s", 2)
        pm.Censored("y", pm.Normal.dist(mu, s), lower=-0.5, upper=1.0, observed=c)
    return m


@zoo
def truncated_normal():
    r = R(18)
    t = np.abs(r.normal(size=80))
    with pm.Model() as m:
        mu = pm.Normal("mu")
        s = pm.HalfNormal("s", 2)
        pm.TruncatedNormal("y", mu, s, lower=0.0, observed=t)
    return m


@zoo
def weibull_potential():
    r = R(18)
    t = r.weibull(1.5, 80) * 3
    cens = t > 4
    t = np.minimum(t, 4.0)
    with pm.Model() as m:
        a = pm.HalfNormal("a", 2)
        b = pm.Normal("b", 1, 1)
        pm.Weibull("y", a, pm.math.exp(b), observed=t[~cens])
        pm.Potential("c", -((t[cens] / pm.math.exp(b)) ** a).sum())
    return m


@zoo
def zerosum():
    r = R(19)
    g = r.integers(0, 6, 100)
    y = r.normal(size=100)
    with pm.Model() as m:
        a = pm.ZeroSumNormal("a", 1.0, shape=6)
        s = pm.HalfNormal("s")
        pm.Normal("y", a[g], s, observed=y)
    return m


@zoo
def two_way():
    r = R(19)
    y = r.normal(size=(30, 12))
    with pm.Model() as m:
        a = pm.Normal("a", 0, 1, shape=(30, 1))
        b = pm.Normal("b", 0, 1, shape=(1, 12))
        s = pm.HalfNormal("s")
        pm.Normal("y", a + b, s, observed=y)
    return m


@zoo
def neural_net():
    r = R(20)
    X = r.normal(size=(100, 2))
    y = r.integers(0, 2, 100)
    with pm.Model() as m:
        w1 = pm.Normal("w1", 0, 1, shape=(2, 5))
        w2 = pm.Normal("w2", 0, 1, shape=(5, 5))
        w3 = pm.Normal("w3", 0, 1, shape=5)
        h = pm.math.tanh(X @ w1)
        h = pm.math.tanh(h @ w2)
        pm.Bernoulli("y", logit_p=h @ w3, observed=y)
    return m


@zoo
def spike_uniform():
    r = R(21)
    y = r.gamma(2, 1, 60)
    with pm.Model() as m:
        a = pm.Uniform("a", 0, 10)
        b = pm.Uniform("b", 0.1, 5)
        pm.Gamma("y", a, b, observed=y)
        pm.Laplace("l", 0, 1)
        pm.SkewNormal("k", mu=0, sigma=1, alpha=2.0)
        pm.VonMises("v", 0.0, 2.0)
    return m


@zoo
def irt_2pl():
    r = R(22)
    items, people = 20, 50
    i, p = np.tile(np.arange(items), people), np.repeat(np.arange(people), items)
    y = r.integers(0, 2, items * people)
    with pm.Model() as m:
        th = pm.Normal("th", 0, 1, shape=people)
        b = pm.Normal("b", 0, 1, shape=items)
        a = pm.LogNormal("a", 0, 0.5, shape=items)
        pm.Bernoulli("y", logit_p=a[i] * (th[p] - b[i]), observed=y)
    return m


@zoo
def garch_scan():
    r = R(23)
    y = r.normal(size=100)
    with pm.Model() as m:
        pm.GARCH11(
            "y",
            omega=pm.HalfNormal("o", 1),
            alpha_1=pm.Beta("a", 2, 2),
            beta_1=pm.Beta("b", 2, 2),
            initial_vol=1.0,
            observed=y,
        )
    return m


@zoo
def rugby():
    r = R(30)
    teams = 6
    home, away = np.array([(i, j) for i in range(teams) for j in range(teams) if i != j]).T
    hs, as_ = r.poisson(23, 30), r.poisson(15, 30)
    with pm.Model(coords=dict(team=range(teams))) as m:
        h = pm.Data("home_team", home)
        a = pm.Data("away_team", away)
        hf = pm.Normal("home", 0, 1)
        ic = pm.Normal("intercept", 3, 1)
        sa, sd = pm.HalfNormal("sd_att", 2), pm.HalfNormal("sd_def", 2)
        ats = pm.Normal("atts_star", 0, sa, dims="team")
        ds = pm.Normal("defs_star", 0, sd, dims="team")
        at = pm.Deterministic("atts", ats - pt.mean(ats), dims="team")
        d = pm.Deterministic("defs", ds - pt.mean(ds), dims="team")
        pm.Poisson("hp", mu=pt.exp(ic + hf + at[h] + d[a]), observed=hs)
        pm.Poisson("ap", mu=pt.exp(ic + at[a] + d[h]), observed=as_)
    return m


@zoo
def coal_marginal():
    """Disasters in coal mines, the year of the change summed out."""
    counts = (
        "45401434063340263354531441553425223421322111130010110031"
        "0322011101010002100011023311211112420014000100000100101"
    )
    y = np.array([int(c) for c in counts])
    with pm.Model() as m:
        early, late = pm.Exponential("early", 1.0), pm.Exponential("late", 1.0)
        before = pt.concatenate([[0.0], pt.cumsum(pm.logp(pm.Poisson.dist(early), y))])
        after = pt.concatenate([[0.0], pt.cumsum(pm.logp(pm.Poisson.dist(late), y))])
        pm.Potential("year", pm.math.logsumexp(before + after[-1] - after))
    return m


@zoo
def best():
    r = R(31)
    y1, y2 = 101 + 2 * r.standard_t(4, 47), 100.5 + 1.2 * r.standard_t(4, 42)
    y = np.r_[y1, y2]
    mu_m, mu_s = y.mean(), 2 * y.std()
    with pm.Model() as m:
        a, b = pm.Normal("a", mu_m, mu_s), pm.Normal("b", mu_m, mu_s)
        sa, sb = pm.Uniform("sa", 1, 10), pm.Uniform("sb", 1, 10)
        nu = pm.Exponential("nm1", 1 / 29.0) + 1
        pm.Deterministic("nu", nu)
        pm.StudentT("drug", nu=nu, mu=a, lam=sa**-2, observed=y1)
        pm.StudentT("placebo", nu=nu, mu=b, lam=sb**-2, observed=y2)
        pm.Deterministic("es", (a - b) / np.sqrt((sa**2 + sb**2) / 2))
    return m


@zoo
def prophet():
    r = R(32)
    n = 120
    t = np.arange(n) / n
    s = np.linspace(0, 0.8, 12)[1:]
    A = (t[:, None] > s) * 1.0
    F = np.column_stack([f(2 * np.pi * k * t * 10) for k in (1, 2, 3) for f in (np.sin, np.cos)])
    y = 1 + t + F[:, 0] + 0.1 * r.normal(size=n)
    with pm.Model() as m:
        tt = pm.Data("t", t)
        AA = pm.Data("A", A)
        FF = pm.Data("F", F)
        k, mm = pm.Normal("k", 0, 1), pm.Normal("m", 0, 1)
        tau = pm.Exponential("tau", 10)
        delta = pm.Laplace("delta", 0, tau, shape=len(s))
        growth = k + pm.math.dot(AA, delta)
        off = mm + pm.math.dot(AA, -s * delta)
        be = pm.Normal("be", 0, 1, shape=6)
        sig = pm.HalfNormal("sig", 0.5)
        pm.Normal("y", growth * tt + off + pm.math.dot(FF, be), sig, observed=y)
    return m


@zoo
def ordered_probit():
    r = R(34)
    x = r.normal(size=(120, 2))
    y = r.integers(0, 4, 120)
    with pm.Model() as m:
        b = pm.Normal("b", 0, 1, shape=2)
        c = pm.Normal("c", 0, 2, shape=3, transform=pm.distributions.transforms.ordered, initval=[-1.0, 0, 1])
        pm.OrderedProbit("y", eta=x @ b, cutpoints=c, compute_p=False, observed=y)
    return m


@zoo
def hurdle_nb():
    r = R(33)
    y = r.poisson(3, 100) * r.integers(0, 2, 100)
    with pm.Model() as m:
        pm.HurdleNegativeBinomial(
            "y", psi=pm.Beta("psi", 2, 2), mu=pm.Gamma("mu", 2, 0.5), alpha=pm.Exponential("al", 1), observed=y
        )
    return m


@zoo
def censored_poisson_reg():
    r = R(61)
    x = r.normal(size=60)
    y = np.minimum(r.poisson(np.exp(1 + 0.3 * x)), 6)
    with pm.Model() as m:
        pm.Censored(
            "y", pm.Poisson.dist(pm.math.exp(pm.Normal("a") + pm.Normal("b") * x)), lower=None, upper=6, observed=y
        )
    return m


@zoo
def dp_mixture():
    r = R(36)
    y = np.r_[r.normal(-2, 0.5, 60), r.normal(2, 0.5, 60)]
    K = 15
    with pm.Model() as m:
        al = pm.Gamma("alpha", 1, 1)
        b = pm.Beta("beta", 1, al, shape=K - 1)
        w = pm.Deterministic("w", pt.concatenate([b, [1.0]]) * pt.concatenate([[1.0], pt.extra_ops.cumprod(1 - b)]))
        tau = pm.Gamma("tau", 1, 1, shape=K)
        lam = pm.Gamma("lambda_", 10, 1, shape=K)
        mu = pm.Normal("mu", 0, tau=lam * tau, shape=K)
        pm.NormalMixture("obs", w, mu, tau=lam * tau, observed=y)
    return m


@zoo
def factor_marginal():
    r = R(37)
    n, d, k = 40, 6, 2
    Y = r.normal(size=(n, d))
    i, j = np.tril_indices(d, 0, k)
    with pm.Model() as m:
        off = pm.Normal("off", 0, 1, shape=len(i))
        W = pt.set_subtensor(pt.zeros((d, k))[i, j], off)
        psi = pm.HalfNormal("psi", 1, shape=d)
        pm.MvNormal("X", 0.0, W @ W.T + pt.diag(psi**2), observed=Y)
    return m


@zoo
def hmm_vector():
    """The forward algorithm, its states a vector."""
    r = R(59)
    y = r.normal(size=30) + 2 * (np.arange(30) > 15)
    with pm.Model() as m:
        P = pm.Dirichlet("P", np.ones((3, 3)) + 3 * np.eye(3))
        mu = pm.Normal("mu", [0.0, 2.0, 4.0], 1, shape=3)
        ll = pm.logp(pm.Normal.dist(mu, 1.0), y[:, None])

        def step(here, a, P):
            return here + pm.math.logsumexp(a[:, None] + pt.log(P), axis=0).ravel()

        a, _ = pytensor.scan(step, sequences=[ll[1:]], outputs_info=[ll[0] - np.log(3)], non_sequences=[P])
        pm.Potential("h", pm.math.logsumexp(a[-1]))
    return m


@zoo
def lotka_volterra_vector():
    r = R(50)
    T = 40
    y = np.exp(r.normal(size=(T, 2)) * 0.2 + 1)
    with pm.Model() as m:
        th = pm.LogNormal("th", [-0.5, -3.0, -0.3, -3.0], 0.3, shape=4)
        u0 = pm.LogNormal("u0", [2.0, 1.0], 0.5, shape=2)

        def step(u, th):
            x, y = u[0], u[1]
            return pt.stack([x + 0.1 * (th[0] * x - th[1] * x * y), y + 0.1 * (th[3] * x * y - th[2] * y)])

        us, _ = pytensor.scan(step, outputs_info=[u0], non_sequences=[th], n_steps=T)
        pm.LogNormal("obs", pt.log(us), pm.HalfNormal("s", 1), observed=y)
    return m


@zoo
def local_level_kalman():
    r = R(59)
    y = r.normal(size=50).cumsum()
    with pm.Model() as m:
        q, h = pm.HalfNormal("q"), pm.HalfNormal("h")

        def step(y, a, P, q, h):
            F = P + h**2
            v = y - a
            K = P / F
            return a + K * v, P * (1 - K) + q**2, -0.5 * (pt.log(2 * np.pi * F) + v**2 / F)

        (_, _, ll), _ = pytensor.scan(
            step,
            sequences=[pt.constant(y)],
            outputs_info=[pt.constant(np.float64(0.0)), pt.constant(np.float64(100.0)), None],
            non_sequences=[q, h],
        )
        pm.Potential("ll", ll.sum())
    return m


def ring(n):
    W = np.zeros((n, n))
    i = np.arange(n)
    W[i, (i + 1) % n] = W[(i + 1) % n, i] = 1
    return W


@zoo
def icar_bym():
    r = R(54)
    n = 20
    W = ring(n)
    y = r.poisson(4, n)
    x = r.normal(size=n)
    with pm.Model() as m:
        a, b = pm.Normal("a"), pm.Normal("b")
        rho, s = pm.Beta("rho", 0.5, 0.5), pm.HalfNormal("s", 1)
        th = pm.Normal("th", 0, 1, shape=n)
        phi = pm.ICAR("phi", W=W)
        mix = pt.sqrt(1 - rho) * th + pt.sqrt(rho / 0.7) * phi
        pm.Poisson("y", pt.exp(a + b * x + s * mix), observed=y)
    return m


@zoo
def imputed_mv():
    r = R(45)
    Y = r.normal(size=(20, 3))
    Y[[1, 4, 9], [0, 2, 1]] = np.nan
    with pm.Model() as m:
        mu = pm.Normal("mu", 0, 1, shape=3)
        c, _, _ = pm.LKJCholeskyCov("c", n=3, eta=2, sd_dist=pm.Exponential.dist(1.0))
        pm.MvNormal("Y", mu, chol=c, observed=np.ma.masked_invalid(Y))
    return m


@zoo
def gp_matern32_ard():
    r = R(41)
    X = r.normal(size=(25, 2))
    y = np.sin(X[:, 0]) + 0.1 * r.normal(size=25)
    with pm.Model() as m:
        ls = pm.Gamma("ls", 3, 1, shape=2)
        gp = pm.gp.Marginal(cov_func=pm.HalfNormal("e", 1) ** 2 * pm.gp.cov.Matern32(2, ls=ls))
        gp.marginal_likelihood("y", X=X, y=y, sigma=pm.HalfNormal("s", 1))
    return m


@zoo
def hsgp_periodic():
    r = R(40)
    X = np.linspace(0, 4, 60)
    y = np.sin(2 * np.pi * X) + 0.1 * r.normal(size=60)
    with pm.Model() as m:
        ell, sc = pm.InverseGamma("ell", 2, 1), pm.HalfNormal("scale", 1)
        gp = pm.gp.HSGPPeriodic(m=8, scale=sc, cov_func=pm.gp.cov.Periodic(1, period=1, ls=ell))
        f = gp.prior("f", X=X[:, None])
        pm.Normal("y", f, pm.HalfNormal("s", 1), observed=y)
    return m


@zoo
def von_mises():
    r = R(47)
    with pm.Model() as m:
        pm.VonMises("vm", pm.Normal("c"), pm.HalfNormal("k", 5), observed=r.vonmises(0, 2, 20))
    return m


@zoo
def bambi_mixed():
    import bambi as bmb
    import pandas as pd

    r = R(24)
    df = pd.DataFrame(dict(y=r.normal(size=200), x=r.normal(size=200), g=r.integers(0, 10, 200).astype(str)))
    b = bmb.Model("y ~ x + (x|g)", df)
    b.build()
    return b.backend.model


@zoo
def bambi_logit():
    import bambi as bmb
    import pandas as pd

    r = R(24)
    df = pd.DataFrame(dict(y=r.integers(0, 2, 200), x=r.normal(size=200), c=r.choice(list("abc"), 200)))
    b = bmb.Model("y ~ x + c", df, family="bernoulli")
    b.build()
    return b.backend.model


@zoo
def bambi_spline():
    import bambi as bmb
    import pandas as pd

    r = R(24)
    df = pd.DataFrame(dict(y=r.normal(size=200), x=r.normal(size=200)))
    b = bmb.Model("y ~ bs(x, df=6)", df)
    b.build()
    return b.backend.model
