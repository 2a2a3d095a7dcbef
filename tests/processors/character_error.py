"""The character error rate, under the name by which tests of other packages know it."""

from processors.character_error import edits as edits
from processors.character_error import spoken as spoken
