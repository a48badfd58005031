/**
 * Script Include "GraphCourier" of the application x_dsar: asks graph-courier for an export, and looks for or cancels what was asked for.
 *
 * It needs the REST message "graph-courier" with the methods start, find and cancel, and the system property x_dsar.courier.callback_url.
 * Each function returns { taken, again, status, id, state, detail }: `again` is after how many seconds the same should be asked once more,
 * and 0 if that would help nothing.
 */
var GraphCourier = Class.create();
GraphCourier.prototype = {
    initialize: function () {
        this.callbackUrl = gs.getProperty('x_dsar.courier.callback_url') + '';
    },

    /** `person` is the object id in Entra, `container` the URL with the SAS: a secret. Asking twice starts one export. */
    exportPersonalData: function (number, person, container) {
        var request = this._request('start');
        request.setRequestHeader('Content-Type', 'application/json');
        request.setRequestHeader('Prefer', 'respond-async');
        request.setRequestBody(JSON.stringify({
            operation: 'user.exportPersonalData',
            parameters: { userId: person + '', storageLocation: container + '' },
            callback: { url: this.callbackUrl },
            reference: number + ''
        }));
        return this._answer(request);
    },

    /** How the export of this ticket stands, as graph-courier knows it. */
    find: function (number) {
        var request = this._request('find');
        request.setQueryParameter('reference', number + '');
        request.setQueryParameter('operation', 'user.exportPersonalData');
        return this._answer(request);
    },

    /** graph-courier stops following the export; what Microsoft has begun goes on. */
    cancel: function (number) {
        var found = this.find(number);
        if (!found.taken || !found.id) { return found; }
        var request = this._request('cancel');
        request.setStringParameter('id', found.id);
        return this._answer(request);
    },

    _request: function (method) {
        var request = new sn_ws.RESTMessageV2('graph-courier', method);
        request.setHttpTimeout(25000);
        return request;
    },

    _answer: function (request) {
        var response, status, body = {};
        try {
            response = request.execute();
            status = Number(response.getStatusCode());
        } catch (error) {
            status = 0; // no answer: it may have been taken, and asking again is safe
        }
        try {
            body = JSON.parse(response.getBody() + '');
        } catch (error) {
            body = {}; // no JSON: a proxy has answered
        }
        var operation = body.operations ? body.operations[0] || {} : body;
        var taken = status === 200 || status === 202;
        return {
            taken: taken,
            again: taken || !this._helps(status) ? 0 : Number(response && response.getHeader('Retry-After')) || 60,
            status: status,
            id: taken ? operation.id || '' : '',
            state: taken ? operation.status || '' : '',
            detail: taken ? '' : this._detail(status, body)
        };
    },

    /** Whether asking again may be answered differently. */
    _helps: function (status) {
        return !status || status === 429 || status >= 500;
    },

    /** What a person needs to know; graph-courier repeats no value of the request in it. */
    _detail: function (status, problem) {
        var lines = [status ? status + ' ' + (problem.title || '') : 'no answer'];
        if (problem.detail) { lines.push(problem.detail); }
        (problem.errors || []).forEach(function (error) { lines.push((error.pointer || error.header || error.parameter) + ': ' + error.rule); });
        return lines.join('\n');
    },

    type: 'GraphCourier'
};
