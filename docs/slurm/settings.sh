# What the scripts beside this file have in common; edit it once. Every job reads it.
BENCHMARK=ucf-hmdb-full
DATASETS=(ucf101 hmdb51) # names as --dataset takes them; [data.*] in pipeline.toml says where they lie
PAIRS=(ucf:hmdb hmdb:ucf) # source:target
ROWS=table3,table4
SEEDS=5

FEATURES=features
RUNS=runs
EXTRACT_JOBS=16 # jobs for each dataset: N of --shard i/N
TRAIN_JOBS=20   # jobs for each pair

# The environment that ta3n is installed in, and options of your own.
# source "$HOME/ta3n/.venv/bin/activate"
SBATCH_OPTIONS=() # for every job, such as --account=X --partition=Y
EXTRACT_OPTIONS=()
TRAIN_OPTIONS=()
REPORT_OPTIONS=()

# Batch systems say how many CPUs a job has, but not all of them pin it there.
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
