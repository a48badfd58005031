// A Scripted REST resource (POST) for the callbacks of graph-courier: profiles servicenow-scripted and servicenow-hmac.
(function process(request, response) {
    // In the global scope: new GlideCertificateEncryption(), and GlideStringUtil.base64Encode for gs.base64Encode.
    var encryption = new CertificateEncryption();

    // The secrets of a system property, divided by blanks: two while they are rotated.
    function secrets(property) {
        return (gs.getProperty(property, '') + '').split(' ').filter(String);
    }

    // Takes as long for every wrong text, which === does not.
    function same(one, other) {
        var difference = one.length ^ other.length;
        for (var i = 0; i < one.length; i++) {
            difference |= one.charCodeAt(i) ^ other.charCodeAt(i);
        }
        return difference === 0;
    }

    // The keys are in base64, as generateMac wants them.
    function signed(content, keys, signatures) {
        return keys.some(function (key) {
            var expected = encryption.generateMac(key, 'HmacSHA256', content) + '';
            return signatures.some(function (signature) { return same(expected, signature); });
        });
    }

    function whyRefused(body) {
        var header = function (name) { return (request.getHeader(name) || '') + ''; };
        var id = header('webhook-id'), sentAt = header('webhook-timestamp');
        var signatures = header('webhook-signature'), hmac = header('x-sn-hmac-signature-256');
        if (!signatures && hmac) {
            var plain = secrets('x_dsar.courier.hmac_secrets').map(function (text) { return gs.base64Encode(text); });
            return signed(body, plain, [hmac]) ? '' : 'the HMAC does not fit';
        }
        if (!id || !sentAt || !signatures) { return 'webhook-id, -timestamp or -signature is missing'; }
        var keys = secrets('x_dsar.courier.signing_secrets').map(function (text) { return text.replace('whsec_', ''); });
        var offered = signatures.split(' ').map(function (text) { return text.replace('v1,', ''); });
        if (!signed(id + '.' + sentAt + '.' + body, keys, offered)) { return 'no signature fits'; }
        var away = Math.abs(new Date().getTime() / 1000 - Number(sentAt));
        return away <= 300 ? '' : 'it was not sent within the last 5 minutes';
    }

    function answer(status, text) {
        response.setStatus(status);
        response.setBody({ message: text });
    }

    var body = request.body.dataString + ''; // a stream: it is there once
    var refusal = whyRefused(body);
    if (refusal) { return answer(401, refusal); }
    var event = JSON.parse(body), task = new GlideRecord('task');
    if (!task.get('number', event.data.reference)) { return answer(404, 'there is no such task'); }
    if (task.getValue('correlation_id') !== event.data.id) { // else it has come before
        task.setValue('correlation_id', event.data.id);
        task.setValue('correlation_display', event.data.status); // a flow waits for it
        task.setValue('work_notes', 'Microsoft 365, ' + event.data.operation + ': ' + event.data.status);
        task.update();
    }
    answer(200, 'taken');
})(request, response);
