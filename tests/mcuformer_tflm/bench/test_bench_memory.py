import numpy as np

from mcuformer_tflm.bench import memory
from mcuformer_tflm.bench.builtin_model import builtin_model
from mcuformer_tflm.plan import plan_memory
from mcuformer_tflm.plan.skeleton import skeleton_graph
from mcuformer_tflm.runtime.probe import measure
from mcuformer_tflm.runtime.tflm import open_interpreter
from mcuformer_tflm.search.board import get_board
from mcuformer_tflm.search.cost.activation_memory import arena_bytes
from mcuformer_tflm.search.cost.memory import eq5_bytes
from mcuformer_tflm.search.space import SearchSpace


def test_plans_of_random_subnets_lie_within_two_percent_of_the_lower_bound():
    space, rng = SearchSpace(), np.random.default_rng(7)
    for number in range(60):
        graph = skeleton_graph(space.sample(rng), ("whole", "strips")[number % 2])
        assert plan_memory(graph).gap_percent <= 2


def test_the_papers_networks_need_a_fraction_of_its_memory():
    networks = memory.paper_architectures()
    assert eq5_bytes(networks["paper/f746"], class_token=True) == 313_344
    assert eq5_bytes(networks["paper/f427"], class_token=True) == 217_344
    assert arena_bytes(networks["paper/f746"], "strips") <= 128 * 1024
    assert arena_bytes(networks["paper/f746"], "whole") <= 184 * 1024
    assert arena_bytes(networks["paper/f427"], "strips") <= 72 * 1024


def test_all_networks_fit_the_real_banks_of_the_f427_with_the_whole_image():
    for network in memory.paper_architectures().values():
        graph = skeleton_graph(network)
        tail = arena_bytes(network) - plan_memory(graph).head_bytes
        plan = plan_memory(graph, get_board("stm32f427"), reserve=tail)
        assert plan.region_bytes(0) + tail <= 192 * 1024


def test_the_builtin_network_runs_in_tflm_and_needs_more(architecture):
    interpreter = open_interpreter(builtin_model(architecture), 1 << 20)
    interpreter.set_input(np.ones((1, 28, 28, 1), np.int8), 0)
    interpreter.invoke()
    assert interpreter.get_output(0).shape == (1, architecture.num_classes)
    ours = plan_memory(skeleton_graph(architecture)).head_bytes
    assert measure(interpreter, "tflm")["head"] > 1.5 * ours
