"""Results to MLflow and back: runs, the registry, serving. The only room that imports mlflow."""
