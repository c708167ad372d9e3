"""Which SQL functions a row expression may call: those of the row alone, the same at any time."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Final

import duckdb


def names(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


# DuckDB marks these CONSISTENT. They read the clock, the session or other tables, show how DuckDB
# holds a value, or may take the process down; none of them is of use on a row.
_DENIED: Final = names(
    """
    aggregate alias array_aggr array_aggregate bar can_cast_implicitly cast_to_type combine
    constant_or_null create_sort_key current_localtime current_localtimestamp enum_code enum_first
    enum_last enum_range enum_range_boundary finalize get_type hive_partition_component
    icu_sort_key index_key invoke is_histogram_other_bin json_deserialize_sql json_serialize_plan
    json_serialize_sql list_aggr list_aggregate make_type parse_duckdb_log_message remap_struct
    replace_type to_aggregate_state unpivot_list version
    """
)
_DENIED_FORMS: Final = re.compile(r"_.*|(icu_)?collate_.*|st_.*|pg_.*|variant_.*|.*_comparable")

# Macros have no stability of their own: these expand to functions of the row alone.
_MACROS: Final = names(
    """
    array_append array_pop_back array_pop_front array_prepend array_push_back array_push_front
    array_reverse array_to_string date_add days_in_month fdiv fmod if json list_any_value
    list_append list_avg list_bool_and list_bool_or list_count list_first list_last list_max
    list_median list_min list_prepend list_product list_reverse list_stddev_pop list_stddev_samp
    list_string_agg list_sum list_var_pop list_var_samp md5_number_lower md5_number_upper nullif
    split_part
    """
)

# Without arguments in parentheses; the binder would take them for functions.
CLOCK: Final = names(
    """
    current_catalog current_date current_database current_query current_role current_schema
    current_time current_timestamp current_user localtime localtimestamp session_user today user
    """
)


class Functions:
    """DuckDB's catalog of functions, sorted by what a row expression may do with them.

    It is read at the first question (about 20 ms): many pipelines call no function.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Ask this connection."""
        self._connection = connection

    @cached_property
    def _catalog(self) -> tuple[dict[str, set[str]], set[str]]:
        """Kinds of function by name, and the names of those that depend on more than the row."""
        rows = self._connection.execute(
            # DuckDB 2.0.1 marks what depends on the session's time zone; that is fixed (UTC).
            "SELECT lower(function_name), function_type, bool_and(stability = 'CONSISTENT' OR "
            "(stability = 'CONSISTENT_WITHIN_QUERY' AND len(parameter_types) > 0 AND concat("
            "parameter_types::VARCHAR, return_type) SIMILAR TO '.*(TIME ZONE|TIMESTAMPTZ).*')) "
            "FROM duckdb_functions() GROUP BY ALL"
        ).fetchall()
        kinds: dict[str, set[str]] = {}
        for name, kind, _ in rows:
            kinds.setdefault(name, set()).add(kind)
        return kinds, {name for name, kind, stable in rows if kind == "scalar" and not stable}

    @cached_property
    def allowed(self) -> frozenset[str]:
        """Names that may be called."""
        all_kinds, unstable = self._catalog
        return frozenset(
            name
            for name, kinds in all_kinds.items()
            if (name in _MACROS or "scalar" in kinds)
            and name not in unstable
            and name not in _DENIED
            and not _DENIED_FORMS.fullmatch(name)
        )

    def why_not(self, name: str, arguments: int) -> str | None:
        """Say what a call must be instead, or None if it is allowed.

        Args:
            name: Function name in lower case.
            arguments: How many arguments it is called with.
        """
        if name == "age" and arguments == 1:
            return "must give the same value at any time"
        if name in self.allowed:
            return None
        all_kinds, unstable = self._catalog
        kinds = all_kinds.get(name, set())
        if name in unstable or name in CLOCK or name in {"ago", "current_localtime"}:
            return "must give the same value at any time"
        if kinds & {"aggregate", "window"} or name in {"count_star", "unnest"}:
            return "must be of one row"
        if (kinds & {"table", "table_macro", "pragma"} and "scalar" not in kinds) or name in {
            "getenv"
        }:
            return "must read nothing but the row"
        return "must be one that row expressions may call" if kinds else "must exist"
