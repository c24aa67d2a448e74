"""ELBOs as torch operations, with gradients for any optimizer of torch's."""

from ..estimators import batch
from ..fitting.objective import Objective
from ..rng import key_from
from ..targets.target import Target
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


class _ElboBatch(torch.autograd.Function):  # type: ignore[name-defined]
    @staticmethod
    def forward(ctx, loc, scale, call, *parameters):
        found = call(_array(loc), _array(scale), None)
        ctx.call, ctx.key = call, found.key
        like = dict(dtype=loc.dtype, device=loc.device)
        gradients = [found.loc_gradient, found.log_scale_gradient, *found.parameter_gradients]
        ctx.save_for_backward(loc, scale, *(torch.as_tensor(g, **like) for g in gradients))
        return torch.as_tensor(found.value, **like)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, cotangent):
        loc, scale, by_loc, by_log_scale, *by_parameters = ctx.saved_tensors
        each = cotangent[:, None]
        if by_parameters and not torch.all(cotangent == cotangent[0]):  # rows that count differently: the same draws
            found = ctx.call(_array(loc), _array(scale), _array(cotangent), ctx.key)
            by_parameters = [torch.as_tensor(g, dtype=loc.dtype, device=loc.device) for g in found.parameter_gradients]
        elif by_parameters:
            by_parameters = [cotangent[0] * g for g in by_parameters]
        return each * by_loc, each * by_log_scale / scale, None, *by_parameters


def _array(tensor):
    return tensor.detach().cpu().double().numpy()


def elbo_batch(target: Target, loc, scale, num_samples: int = 1, *, rows=(0,), data=None, rng=None, num_threads=None):
    """The ELBOs of :func:`fastvi.elbo_batch` as a tensor (N,), differentiable once in what an encoder gives.

    Parameters
    ----------
    target, num_samples, rows, rng, num_threads
        as for :func:`fastvi.elbo_batch`
    loc, scale : tensor (N, dim)
        of each q
    data : tuple, optional
        in place of the target's data; its floating tensors that require a gradient are model parameters, and get one
    """
    for name, value in (("loc", loc), ("scale", scale)):
        if not isinstance(value, torch.Tensor) or not value.dtype.is_floating_point:
            raise TypeError(f"{name}: expected a floating torch.Tensor, got {value!r:.60}")
    items = tuple(target.data if data is None else data)
    wanted = tuple(i for i, v in enumerate(items) if isinstance(v, torch.Tensor) and v.requires_grad)
    taken = tuple(v.detach().cpu().numpy() if isinstance(v, torch.Tensor) else v for v in items)
    source = key_from(rng)

    def call(loc, scale, weights, key=source):
        what = dict(rows=rows, parameters=wanted, data=taken, weights=weights, rng=key, num_threads=num_threads)
        return batch.elbo_batch(target, loc, scale, num_samples, **what)

    return _ElboBatch.apply(loc, scale, call, *(items[i] for i in wanted))
