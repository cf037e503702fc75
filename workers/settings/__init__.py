"""The settings: the environment, a ``.env`` and (for several stores) a TOML file become one frozen object.

Every problem is reported at once, and none shows a secret.
"""

from workers.settings.load import load
from workers.settings.model import LOOPBACK_HOSTS, Account, Secret, Settings, SettingsError

__all__ = ["LOOPBACK_HOSTS", "Account", "Secret", "Settings", "SettingsError", "load"]
