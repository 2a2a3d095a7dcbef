"""Train what tells agent from customer by what they say (`processors/listening/role_model.py`): `make heads`.

It learns from the dialogues, twins aside: from whole calls and from pieces of them, each also with characters misheard.
Parts that the reading heads do not learn from are left out here, too, and those of `training/unseen`; of all of these
it prints how many calls are told apart, whole and by five turns in a row, and how many would be contradicted.
"""

import argparse
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from processors.listening.role_inference import LEAST_CONTRADICTION
from processors.listening.role_model import BUCKETS, WEIGHTS, RoleModel, rows_of_sides
from processors.text.normalized_text import normalize
from training.dialogues import Dialogue, Turn, load_dialogues
from training.heads import NOT_LEARNED, misheard

UNSEEN = Path(__file__).parent / "unseen"
SEED = 20
FEWEST_TURNS, TURNS_OF_A_PIECE = 3, 5
INVERSE_PENALTY = 10.0
"""As scikit-learn counts it."""
SEEN_OFTEN = 3
"""From so many sides on an n-gram is worth a weight."""


def sides(turns: Sequence[Turn]) -> tuple[str, str]:
    """The letters of the agent and of the customer."""
    agent, customer = (
        normalize("".join(turn.text for turn in turns if turn.role == role)).letters for role in ("agent", "customer")
    )
    return agent, customer


def pieces(dialogues: Sequence[Dialogue]) -> Iterator[tuple[str, str]]:
    """The two sides of each call, of a piece of it from anywhere, and of both as they may be misheard."""
    chance = random.Random(SEED)
    for dialogue in dialogues:
        size = chance.randint(min(FEWEST_TURNS, len(dialogue.turns)), len(dialogue.turns))
        begin = chance.randint(0, len(dialogue.turns) - size)
        for agent, customer in (sides(dialogue.turns), sides(dialogue.turns[begin : begin + size])):
            yield agent, customer
            yield misheard(agent, chance), misheard(customer, chance)


def train(both: Sequence[tuple[str, str]]) -> RoleModel:
    """The model of these pairs of agent and customer."""
    agents, customers = (_matrix([pair[place] for pair in both]) for place in (0, 1))
    often = np.asarray(((agents > 0).sum(axis=0) + (customers > 0).sum(axis=0)) >= SEEN_OFTEN).ravel()
    rows = _signed((agents - customers)[:, often])
    truth = np.arange(rows.shape[0]) % 2 == 0
    fitted = LogisticRegression(
        C=INVERSE_PENALTY, solver="liblinear", fit_intercept=False, max_iter=1_000, random_state=0
    )
    weights: NDArray[np.float64] = np.zeros(BUCKETS)
    weights[often] = fitted.fit(rows, truth).coef_[0]
    scale = float(np.abs(weights).max() / 127)
    return RoleModel(np.round(weights / scale).astype(np.int8), scale)


def _signed(differences: csr_matrix) -> csr_matrix:
    """Every second row the other way round, for a model without an intercept learns nothing from ones alone."""
    signs = np.where(np.arange(differences.shape[0]) % 2 == 0, 1.0, -1.0)
    return csr_matrix(differences.multiply(signs[:, None]))


def _matrix(texts: Sequence[str]) -> csr_matrix:
    rows = rows_of_sides(texts)
    return csr_matrix((rows.values, (rows.rows, rows.columns)), shape=(rows.height, BUCKETS))


def print_figures(name: str, model: RoleModel, dialogues: Sequence[Dialogue]) -> None:
    """How many calls are told apart, and how many contradict right roles and exchanged ones."""
    leads = np.array([model.lead_of_first(*sides(one.turns)) for one in dialogues])
    short = np.array([model.lead_of_first(*sides(one.turns[:TURNS_OF_A_PIECE])) for one in dialogues])
    print(
        f"{name}: {len(leads)} calls, told apart {(leads > 0).mean():.3f}, by {TURNS_OF_A_PIECE} turns "
        f"{(short > 0).mean():.3f}; contradicted {(leads <= -LEAST_CONTRADICTION).sum()}, exchanged ones "
        f"{(leads >= LEAST_CONTRADICTION).mean():.3f}"
    )


def main() -> None:
    """Write the weights and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=WEIGHTS, help="file to write (default: %(default)s)")
    file: Path = parser.parse_args().output
    dialogues = [one for one in load_dialogues() if one.twin_of is None]
    model = train(list(pieces([one for one in dialogues if one.part not in NOT_LEARNED])))
    file.parent.mkdir(parents=True, exist_ok=True)
    model.save(file)
    apart = [one for one in dialogues if one.part in NOT_LEARNED]
    apart += [one for one in load_dialogues(UNSEEN) if one.twin_of is None]
    for part in sorted({one.part for one in apart}):
        print_figures(part, model, [one for one in apart if one.part == part])
    print(f"{int((model.weights != 0).sum())} weights; wrote {file}")


if __name__ == "__main__":
    main()
