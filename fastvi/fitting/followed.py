"""log w as a surrogate in the factors' scores follows it, and how sure its coefficients are."""

import math

import numpy as np

from ..score_surrogates import Design, fitted

NEGLIGIBLE = 1e-9  # of log w that is left, where nothing needs to be judged
AGREES = 8.0  # standard errors between the mean of log w and what its surrogate makes of it


class Followed:
    """log w of a pilot's draws z, weighted by exp(log_ratio), and the surrogate that follows it."""

    def __init__(self, design: Design, log_w, log_ratio) -> None:
        self.design = design
        self.surrogate, self.left, self.inverse = fitted(self.design, log_w, log_ratio)
        self.weights = np.exp(log_ratio)
        self.weights /= np.mean(self.weights)
        self.n, self.count = self.design.shape
        n, mean = self.n, float(np.mean(self.weights * log_w))
        error = math.sqrt(float(np.sum((self.weights * (log_w - mean)) ** 2))) / n
        # where states of two factors are not among the draws, least squares may follow all of them and mean nothing
        self.means_something = abs(self.surrogate.constant - mean) <= AGREES * error + NEGLIGIBLE * (1.0 + abs(mean))
        self.mean = mean

    @property
    def deviation(self) -> float:
        """Of what is left of log w"""
        return math.sqrt(float(self.weights @ self.left**2) / max(1, self.n - self.count))

    @property
    def left_over(self) -> float:
        """The share of the variance of log w that is left"""
        away = self.surrogate.size
        return self.deviation**2 / (self.deviation**2 + away**2) if away > 0.0 else 1.0

    @property
    def inflation(self) -> float:
        """By what factor the draws make the worst of the coefficients less certain than all states would"""
        return 1.0 if self.inverse is None else self.n * float(np.max(np.diag(self.inverse)))

    def noise(self, residuals=None) -> np.ndarray:
        """The covariance of the whitened linear coefficients, and with ``residuals`` (n, points) of the constants that
        were fitted to slopes"""
        n, weights, left = self.n, self.weights, self.weights * self.left
        more = n / max(1, n - self.count)
        if self.inverse is None:
            noise = left**2 @ self.design.whitened**2 / n**2
            if residuals is not None:
                noise = np.concatenate([noise, weights**2 @ residuals**2 / n**2])
            return np.diag(noise * more)
        own, noise = slice(1, 1 + len(self.surrogate.linear)), 0.0
        for some, matrix in self.design.matrices():
            scores = (matrix * left[some, None]) @ self.inverse[:, own]
            if residuals is not None:
                constants = (matrix @ self.inverse[:, :1]) * weights[some, None] * residuals[some]
                scores = np.concatenate([scores, constants], axis=1)
            noise = noise + scores.T @ scores
        return noise * more
