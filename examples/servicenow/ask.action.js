// Script step of the flow's action "Ask graph-courier". Inputs: number, person, container (Password). Outputs: taken, again, detail.
(function execute(inputs, outputs) {
    var answer = new x_dsar.GraphCourier().exportPersonalData(inputs.number, inputs.person, inputs.container);
    outputs.taken = answer.taken;
    outputs.again = answer.again;
    outputs.detail = answer.detail;
})(inputs, outputs);
