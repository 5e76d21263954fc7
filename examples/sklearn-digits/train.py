"""A small classifier of scikit-learn's digits, which come with it: 1,797 images of 8 × 8."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))  # or: pip install ./python
import ablate
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

params = ablate.params({"epochs": 10, "alpha": 0.0001, "standardise": True, "penalty": "l2"})
images, labels = load_digits(return_X_y=True)
# The same split for every variant and seed: what the seed draws is the training.
train_x, test_x, train_y, test_y = train_test_split(images, labels, test_size=0.5, random_state=0, stratify=labels)
if params["standardise"]:
    scaler = StandardScaler().fit(train_x)
    train_x, test_x = scaler.transform(train_x), scaler.transform(test_x)
model = SGDClassifier(loss="log_loss", alpha=params["alpha"], penalty=params["penalty"], random_state=ablate.seed())
for epoch in range(1, params["epochs"] + 1):
    model.partial_fit(train_x, train_y, classes=range(10))
    ablate.log(step=epoch, epoch=epoch, total=params["epochs"], test_accuracy=model.score(test_x, test_y))
ablate.predictions(test_y, model.predict(test_x))
