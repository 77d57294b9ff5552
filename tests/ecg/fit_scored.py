"""Count anew how often each criterion agrees with labels: ``python tests/ecg/fit_scored.py DATA``.

Rewrites the table at the end of ``carna/ecg/criteria/scored.py``.
"""

from __future__ import annotations

import sys
from dataclasses import astuple
from pathlib import Path

from carna.ecg.criteria import scored
from carna.learn.ecg_statements import scores

if __name__ == "__main__":
    place = Path(scored.__file__).resolve()
    head = place.read_text(encoding="utf-8").split("SCORES:")[0]
    rows = [
        f"        {name!r}: Score({', '.join(map(str, astuple(score)))}),\n".replace("'", '"')
        for name, score in scores(Path(sys.argv[1])).items()
    ]
    table = f"SCORES: Mapping[str, Score] = MappingProxyType(\n    {{\n{''.join(rows)}    }}\n)\n"
    place.write_text(head + table, encoding="utf-8")
