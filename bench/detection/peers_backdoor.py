"""Peers made against backdoors: activation clustering and spectral signatures.

Both are own implementations of the published rules. They were published for the activations of a
network's last hidden layer; a table has none before a model is trained, so they get the
standardised features.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from bench.detection.views import SEED, Matrix, Scores, View

#: Components that a class is reduced to, as in the paper and in ART's defaults.
COMPONENTS: Final = 10


def activation_clustering(view: View) -> Scores:
    """Two clusters a class; a row of the smaller one is as suspicious as the split is clear.

    Chen et al.: Detecting Backdoor Attacks on Deep Neural Networks by Activation Clustering (2018);
    the Adversarial Robustness Toolbox's `ActivationDefence` with its defaults (PCA to ten, 2-means,
    the smaller cluster is poison). The paper judges a split by its silhouette; here it is the
    weight that makes an order of the flags.
    """
    scores = np.zeros(len(view.rows))
    for code in np.unique(view.codes):
        of = view.codes == code
        scores[of] = _smaller_cluster(view.rows[of])
    return scores


def _smaller_cluster(rows: Matrix) -> Scores:
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.metrics import silhouette_samples

    # Two clusters and a silhouette need three rows that are not all the same.
    if len(np.unique(rows, axis=0)) < 3:
        return np.zeros(len(rows))
    reduced = PCA(min(COMPONENTS, *rows.shape), random_state=SEED).fit_transform(rows)
    cluster = KMeans(2, n_init=10, random_state=SEED).fit_predict(reduced)
    sizes = np.bincount(cluster, minlength=2)
    if not sizes.all():
        return np.zeros(len(rows))
    each = silhouette_samples(reduced, cluster)
    clear = max(float(each.mean()), 0.0)
    return np.where(cluster == int(np.argmin(sizes)), clear * (1.0 + each) / 2.0, 0.0)


def spectral(view: View) -> Scores:
    """Squared length along the first singular vector of each class, centred.

    Tran, Li, Mądry: Spectral Signatures in Backdoor Attacks (NeurIPS 2018), algorithm 1.
    """
    scores = np.zeros(len(view.rows))
    for code in np.unique(view.codes):
        of = view.codes == code
        centred = view.rows[of] - view.rows[of].mean(axis=0)
        _, _, right = np.linalg.svd(centred, full_matrices=False)
        scores[of] = (centred @ right[0]) ** 2
    return scores
