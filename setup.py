"""What Penstock is as a package: four rooms, one command, and what each use of it needs.

This file is the only place that names a dependency. `make lock` resolves it, once, into
`requirements.txt` (every package of every extra) and `requirements-runtime.txt` (what `make demo`,
`make test` and the local servers need, at the same versions). Beam stages it to workers with
`--setup_file`.
"""

from setuptools import find_packages, setup

ROOMS = ("beam_pipelines", "transforms", "runners", "schemas")

RUNTIME = [
    "apache-beam==2.77.0",
    "cryptography",
    "duckdb>=2.0,<3",
    "fastavro",
    "fsspec",
    "grpcio",
    "isal",
    "jsonschema",
    "numpy",
    "open-data-contract-standard>=3.1",
    "orjson",
    "polars>=2.1,<3",
    "polars-hash",
    "protobuf",
    "pyarrow>=25,<26",
    "pydantic>=2",
    "pyiceberg[pyarrow,sql-sqlite]==0.12.0",
    "pyyaml",
    "rich",
    "typing-extensions",
    "xxhash",
]

EXTRAS = {
    # Their declared pins cannot resolve with Beam 2.77, though their code works with it:
    # requirements-overrides.txt. So install from the lock: `make setup EXTRAS=quality`.
    "quality": [
        "tensorflow-data-validation==1.16.1",
        "tensorflow-metadata==1.21.0",
        "tensorflow>=2.21,<2.22",
        "tfx-bsl==1.16.1",
    ],
    "gcp": ["apache-beam[gcp]", "google-cloud-bigquery", "google-cloud-secret-manager", "gcsfs"],
    "aws": ["apache-beam[aws]", "boto3", "pyiceberg[glue]"],
    "snowflake": ["snowflake-connector-python>=5"],
    "kafka": ["confluent-kafka>=2.16,<3"],
    "cdc": ["psycopg2-binary"],
    # Airflow pins most of this list elsewhere: the DAGs run `penstock` from its own environment.
    "airflow": [],
    "docs": ["mkdocs", "mkdocs-material"],
    "dev": [
        "hypothesis",
        "import-linter",
        "mypy",
        "pip",  # fetches the flights
        "pre-commit",
        "pytest",
        "pytest-xdist",
        "ruff",
        "setuptools>=77",
        "types-jsonschema",
        "types-pyyaml",
    ],
}

setup(
    name="penstock",
    version="0.1.0",
    description="Data pipelines on Apache Beam and Arrow: a contract, a pipeline file, any runner",
    license="Apache-2.0",
    python_requires=">=3.11,<3.12",
    packages=find_packages(include=[room + part for room in ROOMS for part in ("", ".*")]),
    package_data={"": ["*.json", "*.yaml", "*.yml", "py.typed", "boot"]},
    install_requires=RUNTIME,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["penstock=beam_pipelines.cli:main"]},
)
