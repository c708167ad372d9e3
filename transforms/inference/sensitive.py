"""Columns of a kind that people are harmed by: faith, health, descent, pay. They are noted.

Whether a column is about persons its name does not tell, so none is protected for its name alone.
"""

from __future__ import annotations

from typing import Final

from schemas.functions import names
from transforms.inference.names import words

_KINDS: Final = {
    "religion or belief": names(
        "religion religious religiousness faith creed konfession confession denomination glaube "
        "religione religiao kirchensteuer"
    ),
    "health": names(
        "health diagnosis diagnoses diagnose disease illness disability disabled icd medication "
        "allergy allergies hiv pregnant pregnancy blood bloodtype symptom symptoms therapy "
        "gesundheit krankheit behinderung schwerbehindert schwanger allergie allergien "
        "maladie sante handicap salud enfermedad discapacidad diagnostico malattia"
    ),
    "ethnic descent": names(
        "race ethnicity ethnic ethnie ethnische herkunft etnia raza origine ancestry"
    ),
    "political opinion or union": names("political politics union gewerkschaft sindicato syndicat"),
    "sexual life": names("sexuality sexual"),
    "crime": names("conviction convictions criminal vorstrafe vorstrafen offence offense"),
    "pay": names(
        "salary salaries wage wages pay payroll gehalt lohn bonus income "
        "einkommen salaire sueldo salario nomina stipendio remuneration verguetung"
    ),
}


def sensitive(name: str) -> str:
    """Say which kind a column is of, by its name; empty: of none.

    >>> sensitive("religion"), sensitive("monthly_salary"), sensitive("price")
    ('religion or belief', 'pay', '')
    """
    said = set(words(name))
    return next((kind for kind, known in _KINDS.items() if said & known), "")
