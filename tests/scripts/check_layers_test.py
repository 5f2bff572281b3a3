"""scripts/check-layers.sh: this repository keeps its rules, and each of them is seen to be broken in one that does not.

    check_layers_test.py SOURCE_DIR
"""

import pathlib
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(sys.argv.pop(1))


def look_at(root):
    done = subprocess.run([SOURCE / "scripts/check-layers.sh", "--root", root], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


class Layers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.write("scripts/lib/layer_exceptions.txt", "# none\n")

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def expect(self, path, text, *parts):
        """`text` as the file `path` is refused in the words of `parts`; without parts it is not."""
        self.write(path, text)
        code, said = look_at(self.root)
        self.assertEqual(code, 1 if parts else 0, said)
        for part in parts:
            self.assertIn(part, said)
        (self.root / path).unlink()

    def test_this_repository(self):
        self.assertEqual(look_at(SOURCE), (0, ""))

    def test_top_folders(self):
        include = '#pragma once\n#include "%s"\n'
        self.expect("kernels/a.hpp", include % "blocks/b.hpp", "kernels/a.hpp:2:", "kernels/ may include kernels/")
        self.expect("blocks/a.cpp", include % "comm/b.hpp", "blocks/a.cpp:2:", "blocks/ may include blocks/, kernels/")
        self.expect("blocks/a.cpp", include % "trainer/config/config.hpp", "blocks/a.cpp:2:")
        self.expect("comm/a.cpp", include % "blocks/b.hpp", "comm/a.cpp:2:")
        self.expect("comm/a.cpp", include % "kernels/ops.hpp", "of kernels/, comm/ may include", "kernels/error.hpp")
        self.expect("comm/a.cpp", include % "kernels/error.hpp")
        self.expect("trainer/plan/a.cpp", include % "kernels/reference/b.hpp", "for tests and benchmarks")
        self.expect("trainer/plan/a.cpp", include % "tests/b.hpp", "nothing of the program includes tests")
        self.expect("trainer/plan/a.cpp", include % "comm/b.hpp")

    def test_headers_of_libraries(self):
        self.expect("blocks/a.cpp", "#include <mpi.h>\n", "blocks/a.cpp:1: includes <mpi.h>; blocks/ does not see it")
        self.expect("blocks/a.cpp", "#include <yaml-cpp/yaml.h>\n", "blocks/ does not see it")
        self.expect("blocks/a.cpp", "  # include <hdf5.h>\n", "blocks/ does not see it")
        self.expect("blocks/a.cpp", "#include <vector>\n")
        self.expect("trainer/data/a.cpp", '#include "mpi.h"\n', "trainer/ does not see it")

    def test_order_inside_trainer(self):
        include = '#include "trainer/%s"\n'
        self.expect("trainer/data/a.cpp", include % "plan/b.hpp", "trainer/data/a.cpp:1:", "plan stands above data")
        self.expect("trainer/plan/a.cpp", include % "data/b.hpp")
        self.expect("trainer/support/a.cpp", include % "config/b.hpp", "config stands above support")
        self.expect("trainer/worker/a.cpp", include % "coordinator/b.hpp", "coordinator and worker do not see each other")
        self.expect("trainer/eval/a.cpp", include % "tasks/images/b.hpp", "tasks stands above eval")
        self.expect("trainer/eval/a.cpp", include % "tasks/task.hpp")
        self.expect("trainer/data/a.cpp", include % "tasks/task.hpp", "tasks/task.hpp stands above data")
        self.expect("trainer/plan/a.cpp", include % "nowhere/b.hpp", "no place in the order")
        self.expect("trainer/nowhere/a.cpp", "", "trainer/nowhere/a.cpp:1: has no place in the order")
        self.expect("trainer/main.cpp", include % "commands/b.hpp")

    def test_words(self):
        path = "trainer/data/a.cpp"
        self.expect(path, "int n;\nint image_count;\n", path + ":2: names 'image'; that belongs to trainer/tasks/")
        self.expect(path, "struct ImageShape;\n", "names 'image'")
        self.expect(path, "// of all pixels\n", "names 'pixels'")
        self.expect(path, "/* one\n   label */\n", path + ":2: names 'label'")
        self.expect(path, '#include "trainer/data/label.hpp"\n', "names 'label'")
        self.expect(path, "const char* key = \"eval.images\";  // a key\nchar c = '\"'; auto s = R\"(\nimages)\";\n")
        self.expect(path, "int imagery, relabelled;\n")
        self.expect("trainer/tasks/images/a.cpp", "int image_count;  // pixels\n")
        self.expect("blocks/a.cpp", "int image_count;\n")

    def test_exceptions(self):
        path = "trainer/data/a.cpp"
        self.write("scripts/lib/layer_exceptions.txt", "# one\n%s: image, label -- a reason\n" % path)
        self.expect(path, "int image, label;\n")
        self.expect(path, "int image, label, pixel;\n", "names 'pixel'")
        self.expect(path, "int image;\n", "layer_exceptions.txt:2: %s does not name 'label' any more" % path)
        self.write("scripts/lib/layer_exceptions.txt", "%s: image\n" % path)
        self.expect(path, "int image;\n", "expected 'FILE: WORD, WORD -- REASON'")

    def test_arguments(self):
        for arguments in (["--rot"], ["--root"], ["--root", "/nowhere"]):
            done = subprocess.run([SOURCE / "scripts/check-layers.sh", *arguments], capture_output=True, text=True)
            self.assertEqual(done.returncode, 2, done.stderr)


if __name__ == "__main__":
    unittest.main()
