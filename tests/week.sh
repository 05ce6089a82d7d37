#!/bin/sh
# week.sh DIR [WORKFLOWS]: writes so many made-up workflows with schedules into DIR, as a deployer of a company might have
# them; 200 of them make about 10,000 task runs a day. For `hortator sim plan --workflows DIR --workers 20x4 --for 7d`.
set -eu
dir=$1 count=${2:-200}
mkdir -p "$dir"

# task NAME NEEDS: one task of the default group.
task() { printf '  - id: %s\n    needs: [%s]\n    shell: { script: "true" }\n' "$1" "$2"; }

for number in $(seq 1 "$count"); do
    # Of 20: one every quarter of an hour, four hourly, the others nightly, each at a time of its own.
    minute=$((number * 7 % 60))
    case $((number % 20)) in
        0) name=poll cron="$((number / 20 % 15))-59/15 * * * *" wide=1 ;;
        5 | 10 | 15 | 19) name=hourly cron="$minute * * * *" wide=3 ;;
        *) name=nightly cron="$minute $((number % 6)) * * *" wide=12 ;;
    esac
    {
        printf 'hortator: v1\nname: %s-%03d\nschedules:\n' "$name" "$number"
        printf '  - { id: regular, cron: "%s", timezone: Europe/Berlin, overlap: skip }\n' "$cron"
        printf 'tasks:\n'
        task extract ""
        middle=
        for part in $(seq 1 "$wide"); do
            task "part-$part" extract
            middle="${middle:+$middle, }part-$part"
        done
        task publish "$middle"
    } > "$dir/$name-$(printf %03d "$number").workflow.yaml"
done
cat > "$dir/durations.toml" <<'END'
task = ["20s", "4m"]
fails = 0.002
END
