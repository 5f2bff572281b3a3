"""What a first look at the program shows: help, version, exit codes, and a plan whose bytes a run then takes."""

import json
import os
import re

import program
from program import BLOCKS, ProgramTest, listing, needs_mpirun


class StartupTest(ProgramTest):
    def commands(self):
        text = self.assertCode(program.run("--help"), 0).out
        return re.findall(r"^  (\w[\w-]*) {2,}\S", text[text.index("Subcommands:"):], re.MULTILINE)

    def test_help(self):
        commands = self.commands()
        for name in ("plan", "train", "eval", "generate", "export", "doctor"):
            self.assertIn(name, commands)
        options = {"plan": ["--set", "--world", "--show-config", "--json"], "train": ["--set", "--resume", "--quiet"],
                   "generate": ["--out", "--labels", "--seed"], "export": ["--out"], "doctor": ["--json"]}
        for command in commands:
            with self.subTest(command=command):
                result = self.assertCode(program.run(command, "--help"), 0)
                self.assertIn(f"blocktrain {command}", result.out)
                self.assertEqual(result.err, "")
                for option in ["--help", *options.get(command, [])]:
                    self.assertIn(option, result.out)
                # Every option says what it does.
                for line in result.out[result.out.index("Options:"):].splitlines():
                    if line.startswith("  -"):
                        self.assertRegex(line, r"^  -\S.* {2,}\S|^  .{26,}$")
        self.assertIn("75", program.run("--help").out)

    def test_version_and_doctor(self):
        self.assertRegex(self.assertCode(program.run("--version"), 0).out, r"^blocktrain \d+\.\d+\.\d+")
        findings = json.loads(self.assertCode(program.run("doctor", "--json"), 0).out)["findings"]
        self.assertLessEqual({"cpu", "memory", "mpi", "energy cpu"}, {finding["topic"] for finding in findings})
        for finding in findings:
            self.assertTrue(finding["text"], finding)
        self.assertCode(program.run("doctor"), 0)

    def test_plan_creates_nothing(self):
        tiny = self.experiment()
        before = listing(self.folder)
        for more in ([], ["--json"], ["--show-config"], ["--world", "8"], ["--world", "1"]):
            result = self.assertCode(program.run("plan", tiny.config, *more, cwd=self.folder), 0)
            self.assertEqual(result.err, "")
            print(f"plan {' '.join(more)}: {result.seconds:.3f} s")
        self.assertEqual(listing(self.folder), before)

    def test_shown_config_is_a_config(self):
        tiny = self.experiment()
        shown = self.assertCode(program.run("plan", tiny.config, "--show-config"), 0).out
        again = self.folder / "again.yaml"
        again.write_text(shown)
        self.assertEqual(self.assertCode(program.run("plan", again, "--show-config"), 0).out, shown)
        self.assertEqual(program.run("plan", again, "--json").out, program.run("plan", tiny.config, "--json").out)

    def check_planned_bytes(self, world, *more, **options):
        tiny = self.experiment(f"run-{world}", budget__steps=10)
        more = (*more, "--set", "parallel.rebalance=false")  # a block that moved would be where it was not planned
        plan = json.loads(self.assertCode(program.run("plan", tiny.config, "--json", "--world", world, *more), 0).out)
        self.assertEqual(len(plan["ranks"]), world)
        result = self.assertCode(tiny.train(*more, **options), 0)
        steps = program.whole_steps(self.assertEveryStepOnce(tiny.run, 10))
        for block in range(BLOCKS):
            owners = [rank for rank in plan["ranks"] if block in rank["blocks"]]
            self.assertEqual([rank["rank"] for rank in owners], plan["blocks"][block]["ranks"])
            most = max(rank["bytes"]["total"] for rank in owners)
            sent = sum(rank["replica_bytes_per_step"] for rank in owners)
            for row in (row for row in steps if row["block"] == block):
                self.assertEqual(row["memory"]["planned"], most)
                self.assertEqual(row["memory"]["measured"], most)
                self.assertEqual(row["ranks"], plan["blocks"][block]["ranks"])
                self.assertEqual(row["sigma"], plan["blocks"][block]["sigma_trained"])
                self.assertEqual(row["bytes_sent"]["inter_block"], plan["inter_block_bytes_per_step"])
                self.assertAlmostEqual(row["bytes_sent"]["replica"], sent, delta=0.02 * sent)
        print(f"{world} ranks: {re.search(r'first step after [0-9.]+ s', result.out)[0]}, "
              f"{result.seconds:.2f} s in all for {len(steps)} steps")

    def test_planned_bytes_are_the_measured_ones(self):
        for world in (1, 3, 4, 8):
            with self.subTest(ranks=world):
                self.check_planned_bytes(world, "--set", f"parallel.ranks={world}")

    @needs_mpirun
    def test_planned_bytes_are_the_measured_ones_under_mpirun(self):
        self.check_planned_bytes(4, ranks=4)

    def test_activation_checkpointing_is_priced_and_then_taken(self):
        option = "parallel.activation_checkpointing=layer"
        tiny = self.experiment(model__layers=8, budget__steps=4)

        def plan(*more):
            return self.assertCode(program.run("plan", tiny.config, *more), 0).out

        off, on = json.loads(plan("--json")), json.loads(plan("--json", "--set", option))
        self.assertEqual((off["activation_checkpointing"], on["activation_checkpointing"]), ("none", "layer"))
        choices = off["activation_checkpointing_choices"]
        self.assertEqual(choices, on["activation_checkpointing_choices"])
        self.assertLess(choices["layer"]["largest_rank_bytes"], choices["none"]["largest_rank_bytes"])
        self.assertEqual(choices["none"]["recomputed_flops_per_step"], off["recomputed_flops_per_step"])
        self.assertEqual(off["recomputed_flops_per_step"], 0)
        self.assertEqual(choices["layer"]["recomputed_flops_per_step"], on["recomputed_flops_per_step"])
        self.assertAlmostEqual(sum(block["recomputed_flops_per_step"] for block in on["blocks"]),
                               on["recomputed_flops_per_step"])
        self.assertEqual(off["flops_per_step"], on["flops_per_step"])
        share = f"{100 * on['recomputed_flops_per_step'] / on['flops_per_step']:.1f}% more"
        self.assertRegex(plan("--world", "4"), f"With {option} the largest rank takes .* for {share}")
        self.assertRegex(plan("--world", "4", "--set", option), f"Activations checkpointed per layer: .*{share}")
        # Blocks of one layer, whose passes fit into one chunk, have nothing to gain.
        self.assertNotIn("activation_checkpointing", plan("--set", "model.layers=4"))
        self.assertCode(tiny.train("--quiet", "--set", option, "--set", "parallel.ranks=4"), 0)
        measured = {r["memory"]["measured"] for r in program.whole_steps(self.assertEveryStepOnce(tiny.run, 4))}
        self.assertEqual(measured, {choices["layer"]["largest_rank_bytes"]})

    def test_quiet_is_quiet(self):
        tiny = self.experiment(budget__steps=5)
        result = self.assertCode(tiny.train("--quiet"), 0)
        self.assertEqual(result.err, "")
        self.assertNotIn("block 0", result.out)

    def test_the_folder_it_runs_in_does_not_matter(self):
        """Relative names are relative to where it was started; nothing else is written there."""
        tiny = self.experiment(log__directory="here/run", data__path=os.path.relpath(program.DIGITS, self.folder),
                               budget__steps=5)
        before = set(os.listdir(self.folder))
        self.assertCode(tiny.train("--quiet", cwd=self.folder), 0)
        self.assertEqual(set(os.listdir(self.folder)) - before, {"here"})
        self.assertEqual(set(os.listdir(self.folder / "here")), {"run"})


if __name__ == "__main__":
    program.main()
