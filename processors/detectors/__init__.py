"""Detectors: each file here is one, found by being there; `base/` holds what they share.

To add one, add a module with a function `detector(context: DetectorContext) -> Detector`. Where it has settings, the
module declares them in a subclass of `SettingsPart`, and `context.part` gives them.
"""

from importlib import import_module
from pkgutil import iter_modules

from processors.detectors.base.contract import Detector, DetectorContext, DetectorError


def find_detectors(context: DetectorContext) -> tuple[Detector, ...]:
    """Every detector of this package, by module name. Raises `DetectorError`."""
    detectors: list[Detector] = []
    owner: dict[str, str] = {}
    for module_name in sorted(module.name for module in iter_modules(__path__) if not module.ispkg):
        factory = getattr(import_module(f"{__name__}.{module_name}"), "detector", None)
        if factory is None:
            raise DetectorError(f"processors/detectors/{module_name}.py has no function detector(context)")
        found: Detector = factory(context)
        for measure in found.measures:
            if measure in owner:
                raise DetectorError(f"{measure} is measured by {owner[measure]} and by {module_name}")
            owner[measure] = module_name
        detectors.append(found)
    return tuple(detectors)
