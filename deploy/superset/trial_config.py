"""Settings of the Superset that `make superset` starts to try the dashboards: on this machine only, kept in one folder.

Not for production: see https://superset.apache.org/docs/configuration/configuring-superset. What the dashboards need of
a real one is in README.md.
"""

import os
from pathlib import Path

HOME = Path(os.environ["SUPERSET_TRIAL_HOME"])
SECRET_KEY = (HOME / "secret_key").read_text(encoding="ascii")
SQLALCHEMY_DATABASE_URI = f"sqlite:///{HOME / 'superset.db'}"
BABEL_DEFAULT_LOCALE = "en"
LANGUAGES = {"en": {"flag": "us", "name": "English"}, "zh": {"flag": "cn", "name": "Chinese"}}
TALISMAN_ENABLED = False
RATELIMIT_ENABLED = False
CONTENT_SECURITY_POLICY_WARNING = False
ROW_LIMIT = 5000
