"""No alignment: a classifier of averaged source features, as it is, on the target."""

from ta3n.train.methods.base import Method
from ta3n.train.methods.closed_form import ClosedForm
from ta3n.train.methods.registry import register_method

UNADAPTED_NN = register_method(
    Method(
        name="unadapted-nn",
        label="Nearest neighbour",
        source="no adaptation, averaged features",
        temporal="pooling",
        closed_form=ClosedForm(name="unadapted-nn", align=None, classifier="nearest"),
    )
)
UNADAPTED_SVM = register_method(
    Method(
        name="unadapted-svm",
        label="Linear SVM",
        source="no adaptation, averaged features",
        temporal="pooling",
        closed_form=ClosedForm(name="unadapted-svm", align=None, classifier="svm"),
    )
)
