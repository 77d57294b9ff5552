"""Numbers for Prometheus (text exposition 0.0.4): what is here, what runs, what applications answered."""

from __future__ import annotations

import json
import resource
import shutil
import sys
from collections import Counter
from pathlib import Path

from sqlalchemy import func, select

from carna.node.catalogue.schema import ASIDE, DELIVERY, INSTANCE, RUN, STUDY
from carna.node.station import Station

_LINUX = sys.platform == "linux"


def exposition(station: Station) -> str:
    """Return the numbers of a station."""
    with station.reading() as connection:
        studies = connection.execute(select(STUDY.c.state, func.count()).group_by(STUDY.c.state)).all()
        kept = connection.execute(select(func.count(), func.sum(INSTANCE.c.size))).one()
        waiting = connection.execute(select(func.count()).where(ASIDE.c.state == "waiting")).scalar()
        runs = connection.execute(select(RUN.c.state, func.count()).group_by(RUN.c.state)).all()
        sent = connection.execute(select(DELIVERY.c.state, func.count()).group_by(DELIVERY.c.state)).all()
        newest = connection.execute(
            select(RUN.c.result).where(RUN.c.result != "").order_by(RUN.c.id.desc()).limit(200)
        ).scalars()
        items: Counter[tuple[str, str]] = Counter()
        for text in newest:
            for one in json.loads(text)["findings"]:
                for item in one["items"]:
                    items[str(one["application"]), str(item.get("kind", ""))] += 1
    lines = ["# TYPE carna_studies gauge"]
    lines += [f'carna_studies{{state="{state}"}} {n}' for state, n in studies]
    lines += ["# TYPE carna_instances gauge", f"carna_instances {kept[0]}"]
    lines += ["# TYPE carna_instance_bytes gauge", f"carna_instance_bytes {int(kept[1] or 0)}"]
    lines += ["# TYPE carna_asides_waiting gauge", f"carna_asides_waiting {waiting}"]
    lines += ["# TYPE carna_runs gauge", *(f'carna_runs{{state="{state}"}} {n}' for state, n in runs)]
    lines += [
        "# TYPE carna_deliveries gauge",
        *(f'carna_deliveries{{state="{state}"}} {n}' for state, n in sent),
    ]
    lines += ["# HELP carna_items Items of the newest 200 runs, by application and kind; Absent is a kind."]
    lines += ["# TYPE carna_items gauge"]
    lines += [f'carna_items{{application="{a}",kind="{k}"}} {n}' for (a, k), n in sorted(items.items())]
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) if _LINUX else 0
    resident = pages * resource.getpagesize()
    lines += ["# TYPE process_resident_memory_bytes gauge", f"process_resident_memory_bytes {resident}"]
    free = shutil.disk_usage(station.home).free
    lines += ["# TYPE carna_disk_free_bytes gauge", f"carna_disk_free_bytes {free}"]
    return "\n".join(lines) + "\n"
