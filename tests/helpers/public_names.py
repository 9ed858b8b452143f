"""What the modules of this package define for users."""

import importlib
import inspect
import pkgutil

import mcuformer_tflm


def public_values(package=None):
    """Values of one subpackage's modules by name; by default those of the public face."""
    if package is None:
        return {name: getattr(mcuformer_tflm, name) for name in mcuformer_tflm.__all__}
    home = importlib.import_module(f"mcuformer_tflm.{package}")
    found = {}
    for module in pkgutil.walk_packages(home.__path__, f"{home.__name__}."):
        values = vars(importlib.import_module(module.name)).items()
        found |= {
            name: value
            for name, value in values
            if not name.startswith("_") and getattr(value, "__module__", "") == module.name
        }
    return found


def public_functions(package=None):
    """Yields the functions of ``public_values`` as ``functions_of`` does."""
    return functions_of(public_values(package))


def functions_of(values):
    """Yields functions, constructors and methods by the name that users write."""
    for name, value in values.items():
        if inspect.isfunction(value):
            yield name, value
        elif inspect.isclass(value):
            if "__init__" in vars(value):
                yield name, value.__init__
            for method, function in vars(value).items():
                if not method.startswith("_") and isinstance(function, classmethod):
                    yield f"{name}.{method}", getattr(value, method)
                elif not method.startswith("_") and inspect.isfunction(function):
                    yield f"{name}.{method}", function
