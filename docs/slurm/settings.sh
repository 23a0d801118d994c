# What the scripts beside this file have in common; edit it once. Every job reads it.
BENCHMARK=ucf-hmdb-full
# Names as --dataset takes them; [data.*] in pipeline.toml says where they lie. None where the
# features are there already: DATASETS=()
DATASETS=(ucf101 hmdb51)
DIRECTIONS=all # every ordered pair of the benchmark, or some: ucf-hmdb,hmdb-ucf
ROWS=table3,table4 # or nothing, and --methods ta3n,mcc among TRAIN_OPTIONS
SEEDS=5

FEATURES=features
RUNS=runs
EXTRACT_JOBS=16 # jobs for each dataset: N of --shard i/N
TRAIN_JOBS=40   # jobs for all directions

# The environment that ta3n is installed in, and options of your own.
# source "$HOME/ta3n/.venv/bin/activate"
SBATCH_OPTIONS=() # for every job, such as --account=X --partition=Y
EXTRACT_OPTIONS=()
TRAIN_OPTIONS=()
REPORT_OPTIONS=()

# Batch systems say how many CPUs a job has, but not all of them pin it there.
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
