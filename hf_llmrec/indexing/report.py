"""Formats the report of an item index as text."""

from __future__ import annotations

from typing import Any

_LEVELS = "abcdefghijklmnopqrstuvwxyz"


def format_report(report: dict[str, Any]) -> str:
    """Format the report of an item index as lines for a terminal.

    Args:
        report: return value of `ItemIndex.report`.
    """
    items = report["num_items"]
    lines = [f"item index: {items} items, {len(report['codebook_sizes'])} levels"]
    if "indexer" in report:
        share = report["collisions_before"] / max(items, 1)
        lines += [
            f"  indexer                        {report['indexer']} ({report['seconds']} s)",
            f"  collisions before assignment   {report['collisions_before']} items ({share:.1%})",
            f"  items moved by the assignment  {report['items_moved']:.1%} ({report['spilled']} to another prefix)",
            f"  variance unexplained           {report['variance_unexplained']:.1%} (before the assignment)",
            f"  neighbours with the same first code  {report['neighbour_preservation']:.1%} of the 10 nearest",
        ]
        if "collaborative_neighbour_preservation" in report:
            share = report["collaborative_neighbour_preservation"]
            lines.append(f"  the same, of collaborative vectors   {share:.1%}")
    lines.append(f"  items that share an index      {report['collisions']}")
    lines.append("  level  codes used  entropy (bits)   prefixes  children mean / max")
    rows = zip(
        report["codebook_sizes"],
        report["codes_used"],
        report["entropy_bits"],
        report["prefixes"],
        report["fan_out_mean"],
        report["fan_out_max"],
        strict=True,
    )
    for level, (size, used, entropy, prefixes, mean, largest) in enumerate(rows):
        lines.append(
            f"  {_LEVELS[level]:>5}  {f'{used}/{size}':>10}  {entropy:14.2f}  {prefixes:9d}  {mean:13.2f} / {largest}"
        )
    return "\n".join(lines)
