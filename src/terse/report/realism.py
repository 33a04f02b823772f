"""Has the discriminator learnt realism, or only which data set an image comes from?"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from terse.discriminator import auc_of_scores
from terse.evaluation.realism import even_rows, image_scores
from terse.pool import Pool
from terse.report.parts import Table
from terse.training.checkpoint import read_checkpoint
from terse.training.session import Players

__all__ = ["realism_table"]

_MOST = 96


def realism_table(players: Players, pool: Pool, folder: Path) -> Table | None:
    """How well the run's last discriminator tells composites, and untouched backgrounds, from real images.

    None where the run had no discriminator. Backgrounds without a paste are as real as images get: an AUC far
    from 0.5 on them means that the discriminator knows the data set, not the paste.
    """
    discriminator = players.discriminator
    state = read_checkpoint(folder / "state") if discriminator is not None else None
    if discriminator is None or state is None or len(pool) == 0:
        return None
    discriminator.load_state_dict(state[0]["discriminator"])
    discriminator.eval()

    def scores(total: int, fetch: Callable[[np.ndarray], Tensor]) -> Tensor:
        return torch.cat([image_scores(discriminator, fetch(rows)) for rows in even_rows(total, _MOST)])

    context = players.context
    real = scores(len(players.train), lambda rows: players.train.fetch(rows)[0])
    plain = scores(len(context.backgrounds), lambda rows: context.backgrounds.fetch(rows).images)
    with torch.no_grad():
        drawn = scores(len(pool), lambda rows: context.render(pool.placements.take(rows)).images)
    rows = [
        ("Composites against real images", f"{auc_of_scores(real, drawn):.2f}"),
        ("Untouched backgrounds against real images", f"{auc_of_scores(real, plain):.2f}"),
    ]
    caption = (
        "AUC of the last discriminator. The first row falls to 0.5 as composites become real to it. The second should "
        "be near 0.5: backgrounds without a paste are real, and what tells them apart is the data set."
    )
    return Table("Discriminator", ("It tells apart", "AUC"), rows, caption)
