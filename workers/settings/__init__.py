"""The settings: the environment, a ``.env`` and (for several stores) a TOML file become one frozen object.

Every problem is reported at once, and none shows a secret.
"""

from workers.settings.in_clear import InClear, is_here
from workers.settings.load import load, spare_credentials
from workers.settings.model import Account, Secret, Settings, SettingsError

__all__ = [
    "Account",
    "InClear",
    "Secret",
    "Settings",
    "SettingsError",
    "is_here",
    "load",
    "spare_credentials",
]
