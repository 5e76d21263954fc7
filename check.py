import sys, json, pathlib, mlflow
mlflow.set_tracking_uri("http://127.0.0.1:5077")
c = mlflow.MlflowClient()
e = c.get_experiment_by_name("tinylive")
for r in c.search_runs([e.experiment_id]):
    print(r.info.run_name, r.info.status, len(r.data.metrics), len(r.data.params), len(r.inputs.dataset_inputs), [a.path for a in c.list_artifacts(r.info.run_id)], {k:len(c.get_metric_history(r.info.run_id,k)) for k in r.data.metrics})
