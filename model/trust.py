"""Estimators to and from skops files: what may be in one, and how large it may be.

The list of allowed types is fixed here; an operator may add to it, a file never. Knows nothing
of bundles, folders or settings.
"""

import io
import warnings
import zipfile
import zlib
from collections.abc import Collection
from typing import Any

import skops.io
from sklearn.exceptions import InconsistentVersionWarning
from skops.io.exceptions import UnsupportedTypeException

from model.errors import IncompatibleBundle, UnsupportedModel, UntrustedModel

# What skops does not trust by itself and fitted scikit-learn estimators are made of. They hold
# data and run nothing of the file's; functools.partial can only wrap a function that is trusted
# too. A forged tree, or tree of neighbours, can still crash the process that scores with it.
ALLOWED_TYPES = frozenset(
    {
        "functools.partial",
        "numpy.dtype",
        "numpy.mean",
        "sklearn._loss.loss.HalfTweedieLoss",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.calibration._TemperatureScaling",
        "sklearn.cluster._bisect_k_means._BisectingTree",
        "sklearn.cluster._kmeans._kmeans_single_lloyd",
        "sklearn.compose._column_transformer.make_column_selector",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.feature_selection._univariate_selection.chi2",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.feature_selection._univariate_selection.f_regression",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.DotProduct",
        "sklearn.gaussian_process.kernels.Matern",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.gaussian_process.kernels.RationalQuadratic",
        "sklearn.gaussian_process.kernels.Sum",
        "sklearn.gaussian_process.kernels.WhiteKernel",
        "sklearn.metrics._dist_metrics.BrayCurtisDistance64",
        "sklearn.metrics._dist_metrics.CanberraDistance64",
        "sklearn.metrics._dist_metrics.ChebyshevDistance64",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.metrics._dist_metrics.HammingDistance64",
        "sklearn.metrics._dist_metrics.HaversineDistance64",
        "sklearn.metrics._dist_metrics.ManhattanDistance64",
        "sklearn.metrics._dist_metrics.MinkowskiDistance64",
        "sklearn.metrics._scorer._PassthroughScorer",
        "sklearn.model_selection._split.KFold",
        "sklearn.model_selection._split.StratifiedKFold",
        "sklearn.multiclass._ConstantPredictor",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
        "sklearn.utils.validation.check_array",
    }
)

_MOST_MEMBERS = 1_000_000
_ALWAYS_FITS = 64 * 1024**2  # bytes: sparse arrays of this size may compress as they like
_MOST_EXPANSION = 50  # times; trees compress to a third, the schema of many small ones better

# What skops, zipfile and scikit-learn raise over a file that is broken or of another version.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
)


def dump_estimator(estimator: object) -> bytes:
    """A fitted estimator as a skops file, compressed.

    Raises:
        UnsupportedModel: skops cannot hold it.

    """
    try:
        return bytes(skops.io.dumps(estimator, compression=zipfile.ZIP_DEFLATED, compresslevel=1))
    except (UnsupportedTypeException, TypeError, ValueError, RecursionError) as error:
        msg = f"{type(estimator).__name__} cannot be saved without pickle: {error}"
        hint = "use scikit-learn's own estimators and functions in it"
        raise UnsupportedModel(msg, hint=hint) from error


def load_estimator(data: bytes, *, source: str, allowed_types: Collection[str] = ()) -> Any:  # noqa: ANN401 - any estimator
    """Read a skops file that holds only trusted types; `source` names it in messages.

    Nothing of the file is run or imported before all its types were found to be allowed.

    Raises:
        UntrustedModel: it holds a type that neither this list nor `allowed_types` names, or
            it expands to far more than its size.
        IncompatibleBundle: it cannot be read with the libraries installed here.

    """
    try:
        _require_bounded(data, source)
        refused = set(skops.io.get_untrusted_types(data=data)) - ALLOWED_TYPES - set(allowed_types)
        if refused:
            msg = f"{source} holds types that may run code: {', '.join(sorted(refused))}"
            hint = "add those that you have read and trust to the setting model.allowed_types"
            raise UntrustedModel(msg, hint=hint)
        with warnings.catch_warnings():
            # Whether another version's estimator still works is decided by golden rows.
            warnings.simplefilter("ignore", InconsistentVersionWarning)
            return skops.io.loads(data, trusted=sorted(ALLOWED_TYPES | set(allowed_types)))
    except _UNREADABLE as error:
        msg = f"{source} cannot be read: {type(error).__name__}: {error}"
        hint = "install the versions of scikit-learn and skops that it was saved with"
        raise IncompatibleBundle(msg, hint=hint) from error


def _require_bounded(data: bytes, source: str) -> None:
    """Refuse a decompression bomb by the sizes that the archive declares.

    They bind: zipfile gives no more of a member than its declared size.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
    size = sum(member.file_size for member in members)
    if len(members) > _MOST_MEMBERS or size > max(_ALWAYS_FITS, _MOST_EXPANSION * len(data)):
        msg = f"{source} expands from {len(data)} to {size} bytes in {len(members)} members"
        raise UntrustedModel(msg, hint="save it again without compression if it is your own")
