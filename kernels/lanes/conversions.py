"""``np.float64(z[i])``, which changes nothing; Numba types the classes of numbers by an attribute of theirs."""

from numba import types
from numba.core.typing.builtins import NumberClassAttribute
from numba.core.typing.templates import AttributeTemplate, infer_getattr, make_callable_template

from .recorded_types import Number
from .types import LaneMask, Lanes


@infer_getattr
class Float64(AttributeTemplate):
    key = types.NumberClass(types.float64)

    def resolve___call__(self, kind):
        of_scalars = NumberClassAttribute(self.context).resolve___call__(kind)

        def typer(value):
            if isinstance(value, Lanes | Number):
                return value
            if isinstance(value, LaneMask):
                return value.lanes
            return of_scalars.get_call_type(self.context, (value,), {}).return_type

        return types.Function(make_callable_template(key=kind.instance_type, typer=typer))
