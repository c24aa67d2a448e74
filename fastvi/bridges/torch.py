"""The ELBO as a torch operation, with a gradient for any optimizer of torch's."""

from ..fitting.objective import Objective
from . import guest

torch = guest("torch", "torch")


class _Elbo(torch.autograd.Function):  # type: ignore[name-defined]
    @staticmethod
    def forward(ctx, parameters, objective, step):
        value, gradient = objective.value_and_grad(parameters.detach().cpu().double().numpy(), step)
        like = dict(dtype=parameters.dtype, device=parameters.device)
        ctx.save_for_backward(torch.as_tensor(gradient, **like))
        return torch.as_tensor(value, **like)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, cotangent):
        (gradient,) = ctx.saved_tensors
        return cotangent * gradient, None, None


def elbo(objective: Objective, parameters, step: int | None = None):
    """The value of an :class:`Objective` at a tensor of parameters (n,), as a scalar tensor, differentiable once.

    The work is done in float64 on the CPU; the result has the parameters' dtype and device.  Estimators that need
    fresh draws want a ``step``.

    Raises
    ------
    TypeError
        where ``parameters`` is no floating tensor
    """
    if not isinstance(parameters, torch.Tensor) or not parameters.dtype.is_floating_point:
        raise TypeError(f"parameters: expected a floating torch.Tensor, got {parameters!r:.60}")
    return _Elbo.apply(parameters, objective, step)
