"""Why a risk is what it is: attributions, the cancer-immunity cycle, what else could change it."""
