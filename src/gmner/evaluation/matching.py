"""Which predicted entities are which gold ones: maximum one-to-one matching, in polynomial time.

Records that differ in what must be equal (the mention; the mention and the type) can never match, so a tweet falls
into small groups. Within a group an edge says that two records' regions agree; the most edges that share no record
are found as an assignment of the highest weight (`scipy.optimize.linear_sum_assignment`, cubic at worst; 70 ms for
1000 x 1000 records). SciPy's `maximum_bipartite_matching` gives the same and is no choice: 0.2 s for 200 x 200 records
with many equal boxes, no end within minutes for 1000 x 1000.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gmner.core.boxes import box_iou_matrix
from gmner.core.records import Box, Record

_FEW_PAIRS = 16  # of boxes: below it plain Python is faster than NumPy

Key = Callable[[Record], Hashable]


def mention_key(record: Record) -> Hashable:
    """Return what must be equal for entity extraction and grounding (EEG): the mention."""
    return record.mention


def mention_type_key(record: Record) -> Hashable:
    """Return what must be equal for MNER and GMNER: the mention and the type."""
    return record.mention, record.type


@dataclass
class Group:
    """The predicted and gold records of one tweet that are equal but for their regions."""

    key: Hashable
    predicted: list[Record] = field(default_factory=list)
    gold: list[Record] = field(default_factory=list)

    @cached_property
    def iou(self) -> NDArray[np.float64]:
        """The IoU between the records that have boxes, (predicted, gold): the best of any box with any box."""
        return iou_of_records([r for r in self.predicted if r.boxes], [r for r in self.gold if r.boxes])

    @cached_property
    def absent_pairs(self) -> int:
        """How many pairs of records without a region can be made."""
        return min(sum(not r.boxes for r in self.predicted), sum(not r.boxes for r in self.gold))

    @property
    def pairs(self) -> int:
        """How many pairs can be made when regions do not matter."""
        return min(len(self.predicted), len(self.gold))

    def grounded_pairs(self, iou: float) -> int:
        """Return how many pairs of records with boxes that agree to at least `iou` can be made."""
        return matching_size(self.iou >= iou)

    def region_pairs(self, iou: float) -> int:
        """Return how many pairs can be made whose regions agree: both absent, or IoU of at least `iou`."""
        return self.absent_pairs + self.grounded_pairs(iou)

    def best_ious(self) -> NDArray[np.float64]:
        """Return the IoU of each pair of records with boxes, paired so that the sum is the highest possible."""
        if self.iou.size <= 1:
            return self.iou.reshape(-1)
        rows, columns = _best_assignment(self.iou)
        return np.asarray(self.iou[rows, columns])


def group_records(predicted: Sequence[Record], gold: Sequence[Record], key: Key) -> list[Group]:
    """Return the groups in which both sides have a record, in the order of the gold records."""
    groups: dict[Hashable, Group] = {}
    for record in gold:
        name = key(record)
        if name not in groups:
            groups[name] = Group(name)
        groups[name].gold.append(record)
    for record in predicted:
        group = groups.get(key(record))
        if group is not None:
            group.predicted.append(record)
    return [group for group in groups.values() if group.predicted]


def iou_of_records(predicted: Sequence[Record], gold: Sequence[Record]) -> NDArray[np.float64]:
    """Return the best IoU of any box of each predicted with any box of each gold record, (predicted, gold).

    Each record must have a box.
    """
    if not predicted or not gold:
        return np.zeros((len(predicted), len(gold)))
    if len(predicted) == len(gold) == 1:
        return np.array([[best_iou(predicted[0].boxes, gold[0].boxes)]])
    matrix = box_iou_matrix([b for r in predicted for b in r.boxes], [b for r in gold for b in r.boxes])
    matrix = np.maximum.reduceat(matrix, _starts(predicted), axis=0)
    return np.asarray(np.maximum.reduceat(matrix, _starts(gold), axis=1))


def _starts(records: Sequence[Record]) -> NDArray[np.int64]:
    return np.cumsum([0, *(len(record.boxes) for record in records[:-1])])


def best_iou(boxes_a: Sequence[Box], boxes_b: Sequence[Box]) -> float:
    """Return the highest IoU of any box of one side with any of the other; 0 where a side has none."""
    if not boxes_a or not boxes_b:
        return 0.0
    if len(boxes_a) * len(boxes_b) > _FEW_PAIRS:
        return float(box_iou_matrix(boxes_a, boxes_b).max())
    return max(_iou(a, b) for a in boxes_a for b in boxes_b)


def _iou(a: Box, b: Box) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    inter = width * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area_a = max(0.0, a[2] - a[0]) * max(0.0, a[3] - a[1])
    union = area_a + max(0.0, b[2] - b[0]) * max(0.0, b[3] - b[1]) - inter
    return float(inter / union) if union > 0 else 0.0


def matching_size(edges: NDArray[np.bool_]) -> int:
    """Return the size of a maximum matching of a bipartite graph given as a matrix of edges, (N, M)."""
    if min(edges.shape) == 0:
        return 0
    if min(edges.shape) == 1:
        return int(edges.any())
    if edges.all():
        return min(edges.shape)
    return len(maximum_matching(edges))


def _best_assignment(weights: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    from scipy.optimize import linear_sum_assignment  # slow to import, and few tweets need it

    rows, columns = linear_sum_assignment(weights, maximize=True)
    return rows, columns


def maximum_matching(edges: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return a maximum matching of a bipartite graph given as a matrix of edges, as (row, column), rows ascending."""
    rows, columns = _best_assignment(edges.astype(np.float64))
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True) if edges[row, column]]
