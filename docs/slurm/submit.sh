#!/bin/bash
# The whole chain, from videos to a report:  bash submit.sh  (in the folder of pipeline.toml)
set -euo pipefail
export TA3N_SLURM=${TA3N_SLURM:-$(cd "$(dirname "$0")" && pwd)}
source "$TA3N_SLURM/settings.sh"
mkdir -p logs
submit() { sbatch --parsable --kill-on-invalid-dep=yes "${SBATCH_OPTIONS[@]}" "$@"; }

extract=()
for dataset in "${DATASETS[@]}"; do
  extract+=("$(submit --array="0-$((EXTRACT_JOBS - 1))" "$TA3N_SLURM/extract.sbatch" "$dataset")")
done
extracted=(${extract:+--dependency="afterok:$(IFS=:; echo "${extract[*]}")"})
merge=$(submit "${extracted[@]}" "$TA3N_SLURM/merge.sbatch")
train=$(submit --dependency="afterok:$merge" --array="0-$((TRAIN_JOBS - 1))" "$TA3N_SLURM/train.sbatch")
report=$(submit --dependency="afterok:$train" "$TA3N_SLURM/report.sbatch")
echo "extract ${extract[*]:-nothing}, merge $merge, train $train, report $report"
